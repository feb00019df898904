"""Which run is at work on what: two runs at the same thing would undo each other's faults.

One file for each run in the state folder, beside the leases, from before its load starts until its faults
are undone for certain. The claim of a run that died counts for as long as it has leases.
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

from chaos_locust.backends.state import leases_folder
from chaos_locust.errors import LeaseError, PreflightFailed, Problem
from chaos_locust.leases.audit import who
from chaos_locust.leases.held import myself
from chaos_locust.leases.store import LOCK_LIMIT_S, LeaseStore, pid_space
from chaos_locust.leases.things import Thing, meet, things_of
from chaos_locust.plan.model import Plan
from chaos_locust.probes.process import ProcessId, boot_id

_LOOK_AGAIN_S = 0.01


@dataclass(frozen=True, slots=True)
class Claim:
    """owner: the run's process. folder: its results. limit_s: so long its requests may take.

    over: it ended, but could not undo everything.
    """

    run_id: str
    owner: ProcessId
    who: str
    folder: str
    limit_s: float
    things: tuple[Thing, ...]
    space: str
    over: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether its run goes on. One in another container cannot be seen: it counts as alive."""
        if self.over or self.owner.boot_id != boot_id():
            return False
        return self.space != pid_space() or self.owner.state is not None


class Claims:
    """The claims of this user. Every method raises LeaseError."""

    def __init__(self, store: LeaseStore) -> None:
        self._store = store
        self.folder = store.folder.parent / "runs"

    def claim(self, run_id: str, owner: ProcessId, plan: Plan, folder: Path) -> Claim:
        """Raises LeaseError with a line for each run that is at work on the same.

        What one process does twice is its own affair.
        """
        wanted = things_of(plan)
        made = Claim(run_id, owner, who(), str(folder.absolute()), plan.timeout_s, tuple(wanted), pid_space())
        with self._locked():
            if taken := self.conflicts(wanted, owner):
                raise LeaseError("\n".join(map(str, taken)))
            self._write(made)
        return made

    def conflicts(self, wanted: Mapping[Thing, str], owner: ProcessId) -> list[Problem]:
        """A problem for each run of another process that is at work on the same."""
        found = []
        for other in self.read():
            if other.owner != owner or other.over:
                found += _conflict(wanted, other)
        return found

    def release(self, claim: Claim, clean: bool) -> None:
        """The run is over; what is not clean stays claimed until its leases are gone."""
        with self._locked():
            if clean:
                self._path(claim.run_id).unlink(missing_ok=True)
            else:
                self._write(replace(claim, over=True))

    def read(self) -> list[Claim]:
        """Of runs that are alive or have left something; those of others are removed."""
        leases, _ = self._store.read()
        owing = {lease.run_id for lease in leases}
        found = []
        for path in sorted(self.folder.glob("[!.]*")):
            try:
                claim = _from_json(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise LeaseError(f"the claim {path} cannot be read ({error!r}): remove it") from None
            if claim.is_alive or claim.run_id in owing:
                found.append(claim)
            else:
                path.unlink(missing_ok=True)
        return found

    def _write(self, claim: Claim) -> None:
        path = self._path(claim.run_id)
        draft = path.with_name(f".{path.name}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(asdict(claim), stream)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
        except OSError as error:
            raise LeaseError(f"the claim {path} cannot be written: {error.strerror}") from None

    def _path(self, run_id: str) -> Path:
        return self.folder / run_id

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One run after the other looks and claims."""
        path = self.folder / ".lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LeaseError(f"{path} cannot be opened: {error.strerror}") from None
        give_up_s = time.monotonic() + LOCK_LIMIT_S
        try:
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if time.monotonic() >= give_up_s:
                    raise LeaseError(f"{path} is locked by a process that stands still")
                time.sleep(_LOOK_AGAIN_S)
            yield
        finally:
            os.close(descriptor)


def refuse_taken(plan: Plan, environ: Mapping[str, str]) -> None:
    """Raises PreflightFailed when another run is at work on a target of the plan."""
    if not plan.faults:
        return
    claims = Claims(LeaseStore(leases_folder(environ)))
    if problems := claims.conflicts(things_of(plan), myself()):
        raise PreflightFailed(problems)


def _conflict(wanted: Mapping[Thing, str], other: Claim) -> list[Problem]:
    for thing, target in wanted.items():
        if not any(meet(thing, its) for its in other.things):
            continue
        whose = f"run {other.run_id} (process {other.owner.pid}, {other.who}, {other.folder})"
        if other.is_alive:
            what = f"is in the hands of {whose}; wait for it, or end it: chaos-locust abort {other.run_id}"
        else:
            what = f"may still have faults of {whose}, which is over; run chaos-locust cleanup first"
        return [Problem(f"targets.{target}", f"{thing[0]} {thing[1]} {what}")]
    return []


def _from_json(path: Path) -> Claim:
    data = json.loads(path.read_text(encoding="utf-8"))
    data["owner"] = ProcessId(**data["owner"])
    data["things"] = tuple((kind, which) for kind, which in data["things"])
    return Claim(**data)
