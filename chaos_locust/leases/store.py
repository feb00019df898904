"""Leases on disk: the promise that a fault ends, kept by whoever finds it.

One file each, written whole, fsynced with its folder before the fault exists. Times are on CLOCK_BOOTTIME,
which goes on while the machine sleeps and knows nothing of the wall clock; after a reboot every lease has
run out. Each save is a new generation: who has read an older one may neither write, undo nor remove it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from chaos_locust.errors import LeaseError
from chaos_locust.probes.process import ProcessId, boot_id, identify

_SUFFIX = ".json"
LOCK_LIMIT_S = 5.0
"""A lease file is locked for the time of one write; who holds it longer stands still."""
_LOOK_AGAIN_S = 0.01


class Superseded(LeaseError):
    """The lease on the disk is another generation, or gone: somebody else has taken it over."""


def boottime_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def pid_space() -> str:
    """Within which pids mean the same: containers on one machine have their own."""
    return os.readlink("/proc/self/ns/pid")


@dataclass(frozen=True, slots=True)
class Lease:
    """run_id, label: `fault.NAME` or `target.NAME`. owner: the run. undo: see `backends.base.Undo`.

    deadline_s: on CLOCK_BOOTTIME of the owner's boot; None: for as long as the owner lives. holder: whoever
    undoes it, the guardian at first. generation: 0 until it is saved. space: whose pids these are.
    """

    run_id: str
    label: str
    owner: ProcessId
    deadline_s: float | None
    undo: dict[str, Any]
    holder: ProcessId | None = None
    generation: int = 0
    space: str = ""

    @property
    def fault(self) -> str | None:
        """The name of the fault; None: it is something made for a target."""
        kind, _, name = self.label.partition(".")
        return name if kind == "fault" else None

    @property
    def owner_is_dead(self) -> bool:
        """What cannot be seen from here, in another container, counts as alive."""
        if self.owner.boot_id != boot_id():
            return True
        return self.space in ("", pid_space()) and self.owner.state is None

    def is_due(self, now_s: float) -> bool:
        """Whether it may be undone by anybody: its run is dead, or its time is over."""
        return self.owner_is_dead or (self.deadline_s is not None and now_s >= self.deadline_s)


class LeaseStore:
    """The leases of this user, in one folder, which is made when needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, lease: Lease) -> Lease:
        """The lease as it is on the disk when this returns: the next generation.

        Raises LeaseError; Superseded when the generation given is not the one that is there.
        """
        path = self._path(lease)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        saved = replace(lease, generation=lease.generation + 1, space=lease.space or pid_space())
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(asdict(saved), stream)
                stream.flush()
                os.fsync(stream.fileno())
            if lease.generation == 0:
                os.link(draft, path)  # only where there is none
            else:
                with self._locked(lease):
                    draft.replace(path)
            self._sync()
        except FileExistsError:
            raise Superseded(f"the lease {path} is there already") from None
        except OSError as error:
            raise LeaseError(f"the lease {path} cannot be written: {error.strerror}") from None
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
        return saved

    def remove(self, lease: Lease) -> None:
        """Does nothing when it is gone. Raises LeaseError; Superseded when it is another's by now."""
        try:
            with self._locked(lease):
                self._path(lease).unlink()
        except Superseded:
            if self._path(lease).exists():
                raise
        except OSError as error:
            raise LeaseError(f"the lease {self._path(lease)} cannot be removed: {error.strerror}") from None

    def is_current(self, lease: Lease) -> bool:
        """Whether this very generation is on the disk; one that was damaged there is nobody else's."""
        try:
            return self._path(lease).exists() and self._is_ours(lease)
        except OSError as error:
            raise LeaseError(f"the lease {self._path(lease)} cannot be read: {error.strerror}") from None

    def find(self, lease: Lease) -> Lease | None:
        """What is on the disk in its place; None: nothing. Raises LeaseError."""
        path = self._path(lease)
        try:
            return _from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LeaseError(_unreadable(path, error)) from None

    def is_there(self, run_id: str, label: str) -> bool:
        """Whether there is a lease of that name, readable or not."""
        return (self.folder / f"{run_id}.{label}{_SUFFIX}").exists()

    def read(self) -> tuple[list[Lease], list[str]]:
        """Every lease, and a line for each that cannot be read: nobody knows what it promised."""
        leases, unreadable = [], []
        for path in sorted(self.folder.glob(f"[!.]*{_SUFFIX}")):
            try:
                leases.append(_from_json(json.loads(path.read_text(encoding="utf-8"))))
            except FileNotFoundError:
                continue  # undone meanwhile
            except (OSError, ValueError, KeyError, TypeError) as error:
                unreadable.append(_unreadable(path, error))
        return leases, unreadable

    def sweep(self) -> None:
        """Removes drafts of processes that died while they wrote one; such a lease never came to be."""
        for path in self.folder.glob(f".*{_SUFFIX}.*"):
            pid = path.name.rpartition(".")[2]
            if pid.isdecimal() and identify(int(pid)) is None:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self, lease: Lease) -> Iterator[None]:
        """Nobody else writes or removes this generation meanwhile. A lock dies with its holder."""
        path, give_up_s = self._path(lease), time.monotonic() + LOCK_LIMIT_S
        while True:
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise Superseded(f"the lease {path} is gone") from None
            try:
                if self._lock(descriptor, path):
                    if not self._is_ours(lease):
                        raise Superseded(f"the lease {path} was taken over")
                    yield
                    return
            finally:
                os.close(descriptor)
            if time.monotonic() >= give_up_s:
                raise LeaseError(f"the lease {path} is locked by a process that stands still")
            time.sleep(_LOOK_AGAIN_S)

    def _lock(self, descriptor: int, path: Path) -> bool:
        """Whether the file that has this path now is locked."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return path.stat().st_ino == os.fstat(descriptor).st_ino
        except (BlockingIOError, FileNotFoundError):
            return False

    def _is_ours(self, lease: Lease) -> bool:
        try:
            found = _from_json(json.loads(self._path(lease).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return False
        except (ValueError, KeyError, TypeError):
            return True
        return found.generation == lease.generation

    def _path(self, lease: Lease) -> Path:
        return self.folder / f"{lease.run_id}.{lease.label}{_SUFFIX}"

    def _sync(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unreadable(path: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else repr(error)
    return f"the lease {path} cannot be read ({reason}): look at what it names, and remove it then"


def _from_json(data: Mapping[str, Any]) -> Lease:
    undo = data["undo"]
    if not isinstance(undo, dict) or "backend" not in undo:
        raise ValueError("it does not say how to undo")
    deadline_s, holder = data["deadline_s"], data.get("holder")
    return Lease(
        run_id=str(data["run_id"]),
        label=str(data["label"]),
        owner=ProcessId(**data["owner"]),
        deadline_s=None if deadline_s is None else float(deadline_s),
        undo=undo,
        holder=None if holder is None else ProcessId(**holder),
        generation=int(data.get("generation", 1)),
        space=str(data.get("space", "")),
    )
