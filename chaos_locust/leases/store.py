"""Leases on disk: the promise that a fault ends, kept by whoever finds it.

One file each, written whole, fsynced with its folder before the fault exists. Times are on CLOCK_BOOTTIME,
which goes on while the machine sleeps; after a reboot every lease has run out.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chaos_locust.errors import LeaseError
from chaos_locust.probes.process import ProcessId, boot_id, identify

_SUFFIX = ".json"


def boottime_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Lease:
    """run_id, label: `fault.NAME` or `target.NAME`. owner: the run. undo: see `backends.base.Undo`.

    deadline_s: on CLOCK_BOOTTIME of the owner's boot; None: for as long as the owner lives.
    """

    run_id: str
    label: str
    owner: ProcessId
    deadline_s: float | None
    undo: dict[str, Any]

    @property
    def fault(self) -> str | None:
        """The name of the fault; None: it is something made for a target."""
        kind, _, name = self.label.partition(".")
        return name if kind == "fault" else None

    def is_due(self, now_s: float) -> bool:
        """Whether it may be undone by anybody: its run is dead, or its time is over."""
        if self.owner.boot_id != boot_id() or self.owner.state is None:
            return True
        return self.deadline_s is not None and now_s >= self.deadline_s


class LeaseStore:
    """The leases of this user, in one folder, which is made when needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, lease: Lease) -> None:
        """Returns when it is on the disk. Raises LeaseError."""
        path = self._path(lease)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(asdict(lease), stream)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
            self._sync()
        except OSError as error:
            raise LeaseError(f"the lease {path} cannot be written: {error.strerror}") from None

    def remove(self, lease: Lease) -> None:
        """Raises LeaseError."""
        try:
            self._path(lease).unlink(missing_ok=True)
        except OSError as error:
            raise LeaseError(f"the lease {self._path(lease)} cannot be removed: {error.strerror}") from None

    def read(self) -> tuple[list[Lease], list[str]]:
        """Every lease, and a line for each that cannot be read: nobody knows what it promised."""
        leases, unreadable = [], []
        for path in sorted(self.folder.glob(f"[!.]*{_SUFFIX}")):
            try:
                leases.append(_from_json(json.loads(path.read_text(encoding="utf-8"))))
            except FileNotFoundError:
                continue  # undone meanwhile
            except (OSError, ValueError, KeyError, TypeError) as error:
                unreadable.append(f"the lease {path} cannot be read: {error}")
        return leases, unreadable

    def sweep(self) -> None:
        """Removes drafts of processes that died while they wrote one; such a lease never came to be."""
        for path in self.folder.glob(f".*{_SUFFIX}.*"):
            pid = path.name.rpartition(".")[2]
            if pid.isdecimal() and identify(int(pid)) is None:
                path.unlink(missing_ok=True)

    def _path(self, lease: Lease) -> Path:
        return self.folder / f"{lease.run_id}.{lease.label}{_SUFFIX}"

    def _sync(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _from_json(data: Mapping[str, Any]) -> Lease:
    undo = data["undo"]
    if not isinstance(undo, dict) or "backend" not in undo:
        raise ValueError("it does not say how to undo")
    deadline_s = data["deadline_s"]
    return Lease(
        run_id=str(data["run_id"]),
        label=str(data["label"]),
        owner=ProcessId(**data["owner"]),
        deadline_s=None if deadline_s is None else float(deadline_s),
        undo=undo,
    )
