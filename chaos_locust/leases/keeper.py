"""Keeps one fault of a run: injects it, watches it, and sees that it ends.

One lock makes its actions follow one another, so that an injection never overtakes its revert. Each
action runs in a thread of its own, so that a backend that hangs delays no other fault.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from chaos_locust.backends.base import Backend, Reading, Undo
from chaos_locust.errors import BackendError, LeaseError
from chaos_locust.faults.base import Fault
from chaos_locust.leases.store import Lease, LeaseStore, boottime_s
from chaos_locust.leases.undo import SETTLE_S, undo_until
from chaos_locust.plan.model import Plan
from chaos_locust.probes.process import ProcessId

GRACE_S = 5.0
"""So long after a lease ran out its fault is still being undone before it is given up as dirty."""
TELL_DIRTY_S = 10.0
"""A fault that is not undone after this is told as dirty; it is tried further all the same."""
ARMED_S = 600.0
"""The deadline of a lease whose fault is still to come."""
READ_EVERY_S = 0.5
FIRST_EFFECT_S = 3.0
"""What was seen is told so long after the onset at the latest."""

Phase = Literal["waiting", "active", "undoing", "over", "dirty"]
Emit = Callable[..., None]
"""emit(event, fault=..., detail=..., ...)"""


class Keeper:
    """`emit` must return at once. Every method that acts blocks: call it in a thread of its own."""

    def __init__(
        self,
        run_id: str,
        plan: Plan,
        fault: Fault,
        backend: Backend,
        owner: ProcessId,
        store: LeaseStore,
        emit: Emit,
    ) -> None:
        self.fault = fault
        self.phase: Phase = "waiting"
        self.deadline_s: float | None = None
        self._run_id, self._plan, self._backend = run_id, plan, backend
        self._target = plan.targets[fault.target]
        self._owner, self._store, self._emit = owner, store, emit
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._undo: Undo | None = None
        self._active_s = 0.0
        self._before: list[Reading] = []
        self._during: list[Reading] = []
        self._told_effect: tuple[Any, ...] | None = None
        self._stirred = threading.Event()
        self._ended = threading.Event()
        self._observing = False

    # -- actions ----------------------------------------------------------------------------------------

    def observe(self) -> None:
        """Writes the lease, and then looks at the link or process until the fault is over."""
        if self._observing:
            return
        self._observing = True
        with self._lock:
            if self.phase != "waiting":
                return
            try:
                self._arm(boottime_s() + ARMED_S)
            except (BackendError, LeaseError) as error:
                self._emit("note", detail=f"{self.fault.name} cannot be watched yet: {error}")
        self._watch()

    def inject(self, lease_s: float) -> None:
        with self._lock:
            if self.phase != "waiting":
                self._say("failed", "its end was asked for before it was injected")
                return
            self.deadline_s = boottime_s() + lease_s
            try:
                undo = self._backend.prepare(self._run_id, self._plan, self.fault, self._target)
                if not self.fault.instant and (self._lease is None or self._lease.undo != undo):
                    self._save(undo, self.deadline_s)
            except (BackendError, LeaseError) as error:
                self._forget()
                self.phase = "over"
                self._say("failed", str(error))
                return
            self._undo, self.phase = undo, "undoing"  # until it is confirmed, it has to be undone
            self._say("asked")
            try:
                self._backend.inject(self.fault, undo)
            except Exception as error:
                self._take_back(error)
                return
            self._active_s = time.monotonic()
            self.phase = "over" if self.fault.instant else "active"
            self._say("active")
            if not self.fault.instant:
                self._shorten(undo, self.deadline_s)
        self._stirred.set()
        if not self._observing:
            self._observing = True
            threading.Thread(target=self._watch, daemon=True).start()
        self._ramp()

    def revert(self, reason: str = "") -> None:
        """Returns when it is undone for certain, or given up."""
        self._ended.set()
        asked_s = boottime_s()
        give_up_s = max(self.deadline_s or asked_s, asked_s) + GRACE_S
        if not self._lock.acquire(timeout=max(give_up_s - boottime_s(), 0.1)):
            self.phase = "dirty"
            self._say(
                "dirty", f"{self.fault.kind}: an action on {self.fault.target} hangs, so it cannot be undone"
            )
            return
        try:
            if self.phase == "waiting":
                self.phase = "over"
                self._forget()
            elif self.phase in ("active", "dirty"):
                assert self._undo is not None
                self.phase = "undoing"
                self._say("revert_asked", reason)
                self._tell_effect(final=True)
                self._undo_surely(self._undo, give_up_s, "reverted")
        finally:
            self._lock.release()
            self._stirred.set()

    # -- undoing ----------------------------------------------------------------------------------------

    def _take_back(self, error: Exception) -> None:
        """An injection failed, and may have had a part of its effect."""
        told = str(error) if isinstance(error, BackendError) else repr(error)
        if self.fault.instant:
            self.phase = "over"
            self._say("failed", told)
            return
        assert self._undo is not None
        assert self.deadline_s is not None
        self._undo_surely(self._undo, self.deadline_s + GRACE_S, "failed", told)

    def _undo_surely(self, undo: Undo, give_up_s: float, outcome: str, detail: str = "") -> None:
        started_s, told_dirty = boottime_s(), False

        def on_failure(reason: str) -> None:
            nonlocal told_dirty
            if not told_dirty and boottime_s() - started_s >= TELL_DIRTY_S:
                told_dirty = True
                self._say("dirty", f"{reason}; still trying")

        problem = undo_until(self._backend, undo, give_up_s, boottime_s, on_failure)
        if problem is None:
            self._say(outcome, detail)
            time.sleep(SETTLE_S)
            problem = undo_until(self._backend, undo, give_up_s + SETTLE_S, boottime_s, on_failure)
        if problem is not None:
            self.phase = "dirty"
            self._say("dirty", problem)
            return
        self.phase = "over"
        self._forget()

    # -- leases -----------------------------------------------------------------------------------------

    def _arm(self, deadline_s: float) -> None:
        self._undo = self._backend.prepare(self._run_id, self._plan, self.fault, self._target)
        if not self.fault.instant:
            self._save(self._undo, deadline_s)

    def _save(self, undo: Undo, deadline_s: float) -> None:
        lease = Lease(self._run_id, f"fault.{self.fault.name}", self._owner, deadline_s, undo)
        self._store.save(lease)
        self._lease = lease

    def _shorten(self, undo: Undo, deadline_s: float) -> None:
        """The lease was written for a fault to come; now its end is known."""
        try:
            if self._lease is None or self._lease.deadline_s != deadline_s:
                self._save(undo, deadline_s)
        except LeaseError as error:
            self._emit("note", detail=f"{error}; the longer lease before it stands")

    def _renew(self) -> None:
        """Keeps the lease of a fault to come from running out."""
        with self._lock:
            lease = self._lease
            if self.phase != "waiting" or lease is None or lease.deadline_s is None:
                return
            if lease.deadline_s - boottime_s() < ARMED_S / 2:
                try:
                    self._lease = replace(lease, deadline_s=boottime_s() + ARMED_S)
                    self._store.save(self._lease)
                except LeaseError as error:
                    self._emit("note", detail=str(error))

    def _forget(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            try:
                self._store.remove(lease)
            except LeaseError as error:
                self._emit("note", detail=str(error))

    # -- watching ---------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while self.phase in ("waiting", "active") or self._wants_more_of_instant():
            undo, active = self._undo, self._active_s
            if undo is not None:
                reading = self._backend.observe(self.fault, undo)
                if self.phase != "undoing" and self._active_s == active:
                    (self._during if active else self._before).append(reading)
                if self.phase == "active":
                    self._tell_effect(final=False)
            self._renew()
            if not self._stirred.wait(READ_EVERY_S):
                continue
            self._stirred.clear()
        if self.fault.instant and self._active_s:
            self._tell_effect(final=True)

    def _wants_more_of_instant(self) -> bool:
        return self.fault.instant and self._active_s > 0 and not self._during

    def _tell_effect(self, final: bool) -> None:
        """Once as soon as it is proved, or after FIRST_EFFECT_S; and at the end what all readings say."""
        effect = self._backend.effect(self.fault, self._before, self._during)
        proved = effect.mechanism is True and effect.use is True
        late = time.monotonic() - self._active_s >= FIRST_EFFECT_S
        if not final and (self._told_effect is not None or not (proved or late)):
            return
        self._told_effect = (effect.mechanism, effect.use)
        self._emit(
            "effect",
            fault=self.fault.name,
            mechanism=effect.mechanism,
            use=effect.use,
            detail=effect.detail,
            final=final,
        )

    def _ramp(self) -> None:
        """Brings a fault that changes with time along, until it ends."""
        if not self.fault.changes:
            return
        while not self._ended.wait(READ_EVERY_S):
            with self._lock:
                if self.phase != "active":
                    return
                assert self._undo is not None
                try:
                    self._backend.adjust(self.fault, self._undo, time.monotonic() - self._active_s)
                except BackendError as error:
                    self._emit("note", detail=f"{self.fault.name} did not follow its ramp: {error}")

    def _say(self, state: str, detail: str = "") -> None:
        self._emit(state, fault=self.fault.name, detail=detail)
