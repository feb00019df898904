"""Undoes every lease of a run whose guardian died or stands still: the work of its successor."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from threading import Thread

from chaos_locust.backends.registry import Backends
from chaos_locust.errors import BackendError, LeaseError
from chaos_locust.leases.audit import Audit
from chaos_locust.leases.held import take
from chaos_locust.leases.store import Lease, LeaseStore, boottime_s
from chaos_locust.leases.undo import SETTLE_S, description, undo_until
from chaos_locust.leases.voice import Voice

GRACE_S = 5.0
"""So long after a lease ran out its fault is still being undone before it is given up as dirty."""
MADE_GIVE_UP_S = 20.0
Run = Callable[[Callable[[], None]], Thread]
"""Carries out an action in a thread of its own."""


class Undoer:
    """Undoes leases that no keeper has: of a guardian that died, and what was made for targets."""

    def __init__(self, backends: Backends, store: LeaseStore, voice: Voice, audit: Audit) -> None:
        self._backends, self._store, self._voice, self._audit = backends, store, voice, audit
        self.dirty = False

    def undo(self, lease: Lease, give_up_s: float, told_as: str) -> None:
        """told_as: the fault that what is said belongs to; something made for a target is told of only when
        it is left."""
        say: Callable[..., None] = self._voice.emit
        if lease.fault is not None:
            say("revert_asked", fault=told_as, detail="its guardian died")
        on = f"the backend {lease.undo['backend']}"
        try:
            backend = self._backends.named(lease.undo["backend"])
            on = description(backend, lease.undo)
            problem = undo_until(backend, lease.undo, give_up_s, boottime_s, lambda reason: None)
            if problem is None:
                time.sleep(SETTLE_S)
                problem = undo_until(
                    backend, lease.undo, give_up_s + SETTLE_S, boottime_s, lambda reason: None
                )
            if problem is None:
                self._store.remove(lease)
        except (BackendError, LeaseError, ImportError) as error:
            problem = str(error)
        result = "reverted" if problem is None else f"dirty: {problem}"
        self._voice.keep(self._audit.write(lease.run_id, "revert", lease.label, on, result))
        if problem is not None:
            self.dirty = True
            say("dirty", fault=told_as, detail=problem)
        elif lease.fault is not None:
            say("reverted", fault=told_as, detail="")

    def recover(self, run_id: str, told: Mapping[str, str], run: Run) -> list[Lease]:
        """Undoes the faults of the run at the same time, and returns what was made for its targets.

        told: the last state that the run was told of, of each fault that it wanted; empty: none yet.
        """
        leases, unreadable = self._store.read()
        for line in unreadable:
            self._voice.emit("note", detail=line)
        own = [lease for lease in leases if lease.run_id == run_id]
        now_s, threads = boottime_s(), []
        for lease in own:
            if lease.fault is not None:
                left_s = max((lease.deadline_s or now_s) - now_s, 0.0)
                give_up_s = now_s + min(left_s + GRACE_S, MADE_GIVE_UP_S)
                threads.append(run(partial(self.take_over, lease, give_up_s, lease.fault)))
        for fault, state in told.items():
            if fault not in [lease.fault for lease in own]:
                self._tell_of_no_lease(run_id, fault, state)
        for thread in threads:
            thread.join()
        return [lease for lease in own if lease.fault is None]

    def take_over(self, lease: Lease, give_up_s: float, told_as: str) -> None:
        """As its next holder, whatever became of the one before."""
        try:
            mine = take(self._store, lease, force=True)
            if mine is not None:
                self.undo(mine, give_up_s, told_as)
            elif not self._backends.named(lease.undo["backend"]).verify(lease.undo):
                raise BackendError("its lease was removed, but it is still there")
            elif lease.fault is not None:
                self._voice.emit("reverted", fault=told_as, detail="another process undid it")
        except (BackendError, LeaseError, ImportError) as error:
            self.dirty = True
            self._voice.emit("dirty", fault=told_as, detail=str(error))

    def _tell_of_no_lease(self, run_id: str, fault: str, state: str) -> None:
        """Before it acts a lease is on the disk, until it is undone."""
        if self._store.is_there(run_id, f"fault.{fault}"):
            self.dirty = True
            self._voice.emit("dirty", fault=fault, detail="its lease cannot be read")
        elif state == "":
            self._voice.emit("failed", fault=fault, detail="its guardian died before it was injected")
        elif state in ("asked", "active", "revert_asked"):
            self._voice.emit("reverted", fault=fault, detail="its guardian died just after it was undone")
