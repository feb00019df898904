"""The guardian, but one that stands still at a named point until it is let go.

    python -m tests.crash.guardian

The environment variable CRASH_BARRIER is a folder with the file `point`, which names it, and the FIFO `go`.
The guardian makes the file `reached` there, and goes on when somebody has opened and closed `go`. Only the
first to come to the point stands still: not the successor of a guardian that was killed there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from chaos_locust.backends.base import Backend, Undo
from chaos_locust.backends.registry import Backends
from chaos_locust.backends.state import leases_folder
from chaos_locust.faults.base import Fault
from chaos_locust.leases.guardian import main
from chaos_locust.leases.store import Lease, LeaseStore

BEFORE_LEASE, BEFORE_FAULT, REVERT_BEGUN, REVERT_DONE = (
    "before the lease",
    "before the fault",
    "revert begun",
    "revert done",
)


class Barrier:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._point = (folder / "point").read_text()

    def reach(self, point: str) -> None:
        if point != self._point:
            return
        try:
            os.close(os.open(self._folder / "reached", os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        with (self._folder / "go").open("rb") as go:
            go.read()


class StoppingStore(LeaseStore):
    def __init__(self, folder: Path, barrier: Barrier) -> None:
        super().__init__(folder)
        self._barrier = barrier

    def save(self, lease: Lease) -> Lease:
        if lease.fault is not None:
            self._barrier.reach(BEFORE_LEASE)
        return super().save(lease)


class StoppingBackend:
    """Passes everything on to a real backend, and stands still before a fault and around its revert."""

    def __init__(self, real: Backend, barrier: Barrier) -> None:
        self._real, self._barrier = real, barrier

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def inject(self, fault: Fault, undo: Undo) -> None:
        self._barrier.reach(BEFORE_FAULT)
        self._real.inject(fault, undo)

    def revert(self, undo: Undo) -> None:
        self._barrier.reach(REVERT_BEGUN)
        self._real.revert(undo)
        self._barrier.reach(REVERT_DONE)


class StoppingBackends(Backends):
    def __init__(self, barrier: Barrier) -> None:
        super().__init__()
        self._barrier = barrier
        self._stopping: dict[str, Any] = {}

    def named(self, name: str) -> Backend:
        real = super().named(name)
        found: Backend = self._stopping.setdefault(name, StoppingBackend(real, self._barrier))
        return found


if __name__ == "__main__":
    BARRIER = Barrier(Path(os.environ["CRASH_BARRIER"]))
    main(StoppingStore(leases_folder(os.environ), BARRIER), StoppingBackends(BARRIER))
