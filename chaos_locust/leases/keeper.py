"""Keeps one fault of a run: injects it, watches it, and sees that it ends.

One lock makes its actions follow one another, so that an injection never overtakes its revert. Each
action runs in a thread of its own, so that a backend that hangs delays no other fault.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

from chaos_locust.backends.base import Backend, Undo
from chaos_locust.errors import BackendError, LeaseError
from chaos_locust.faults.base import Fault
from chaos_locust.leases.held import Held
from chaos_locust.leases.proof import Proof
from chaos_locust.leases.pulse import Pulse
from chaos_locust.leases.recovery import GRACE_S
from chaos_locust.leases.store import Superseded, boottime_s
from chaos_locust.leases.undo import SETTLE_S, description, undo_until
from chaos_locust.plan.model import Plan

TELL_DIRTY_S = 10.0
"""A fault that is not undone after this is told as dirty; it is tried further all the same."""
READ_EVERY_S = 0.5
_LOOK_AGAIN_S = 0.1

_ACTIONS = {
    "asked": "inject",
    "active": "inject",
    "failed": "inject",
    "reverted": "revert",
    "dirty": "revert",
}
Phase = Literal["waiting", "injecting", "active", "undoing", "over", "dirty"]
Emit = Callable[..., None]
"""emit(event, fault=..., detail=..., ...)"""
Tell = Callable[[str, str, str, str], None]
"""audit(action, what, on, result)"""


class Keeper:
    """`emit` must return at once. Every method that acts blocks: call it in a thread of its own."""

    def __init__(
        self,
        run_id: str,
        plan: Plan,
        fault: Fault,
        backend: Backend,
        held: Held,
        pulse: Pulse,
        emit: Emit,
        audit: Tell,
    ) -> None:
        self.fault = fault
        self.phase: Phase = "waiting"
        self.deadline_s: float | None = None
        self.taken = False  # somebody else undoes it
        self._run_id, self._plan, self._backend = run_id, plan, backend
        self._target = plan.targets[fault.target]
        self._held, self._pulse, self._emit, self._audit = held, pulse, emit, audit
        self._lock = threading.Lock()
        self._undo: Undo | None = None
        self._proof = Proof(fault, backend, emit)
        self._not_renewed = ""  # why, as it was told last
        self._stirred = threading.Event()
        self._ended = threading.Event()
        self._observing = False

    @property
    def is_ending(self) -> bool:
        """Its end was asked for."""
        return self._ended.is_set()

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
                self._undo = self._backend.prepare(self._run_id, self._plan, self.fault, self._target)
                if not self.fault.instant:
                    self._held.write(self._undo, self._pulse.runs_out_s)
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
                if not self.fault.instant and not self._held.promises(undo):
                    self._held.write(undo, self._lease_s)
                if not self._observing:  # what was before is a part of what proves the effect
                    self._proof.look(undo, lambda: True)
                    self.deadline_s = boottime_s() + lease_s
                if self._ended.is_set():
                    raise LeaseError("its end was asked for before it was injected")
            except (BackendError, LeaseError) as error:
                self._forget()
                self.phase = "over"
                self._say("failed", str(error))
                return
            self._undo, self.phase = undo, "injecting"
            self._say("asked")
            try:
                self._backend.inject(self.fault, undo)
            except Exception as error:
                self._take_back(error)
                return
            self._proof.active_s = time.monotonic()
            self.phase = "over" if self.fault.instant else "active"
            self._say("active")
        self.renew()
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
                self._proof.tell_all(self._undo)
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
        self.phase = "undoing"
        self._undo_surely(self._undo, self.deadline_s + GRACE_S, "failed", told)

    def _undo_surely(self, undo: Undo, give_up_s: float, outcome: str, detail: str = "") -> None:
        started_s, told_dirty = boottime_s(), False

        def on_failure(reason: str) -> None:
            nonlocal told_dirty
            if not told_dirty and boottime_s() - started_s >= TELL_DIRTY_S:
                told_dirty = True
                self._say("dirty", f"{reason}; still trying")

        if self._is_left_to_other(undo, give_up_s):
            self.phase = "over"
            self._say(outcome, detail or "another process undid it")
            self._forget()
            return
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

    def _is_left_to_other(self, undo: Undo, give_up_s: float) -> bool:
        """Whether somebody who took the lease over (cleanup) has undone the fault; waits for it."""
        try:
            if not self._held.was_taken():
                return False
            while not self._held.is_gone():
                if boottime_s() >= give_up_s:
                    return False
                time.sleep(_LOOK_AGAIN_S)
            return self._backend.verify(undo)
        except (BackendError, LeaseError):
            return False

    # -- leases -----------------------------------------------------------------------------------------

    @property
    def _lease_s(self) -> float:
        """When the lease runs out: with the time of the fault, or a while after the last sign of its run."""
        return min(self.deadline_s or self._pulse.runs_out_s, self._pulse.runs_out_s)

    def renew(self) -> None:
        """To be called every few seconds: without it the lease on the disk runs out."""
        if self.phase not in ("waiting", "injecting", "active"):
            return
        try:
            self._held.renew(self._lease_s)
        except Superseded:
            self.taken = True
        except LeaseError as error:
            if str(error) != self._not_renewed:
                self._not_renewed = str(error)
                self._emit("note", detail=f"{error}; it is not renewed")

    def _forget(self) -> None:
        try:
            self._held.drop()
        except LeaseError as error:
            self._emit("note", detail=str(error))

    # -- watching ---------------------------------------------------------------------------------------

    def _watch(self) -> None:
        proof = self._proof
        while self.phase in ("waiting", "injecting", "active") or self._wants_more_of_instant():
            if self._undo is not None:  # what is seen between the phases proves nothing
                proof.look(self._undo, lambda: self.phase not in ("injecting", "undoing"))
                if self.phase == "active":
                    proof.tell_soon()
            if not self._stirred.wait(READ_EVERY_S):
                continue
            self._stirred.clear()
        if self.fault.instant and proof.active_s:
            proof.tell_all()

    def _wants_more_of_instant(self) -> bool:
        return self.fault.instant and self._proof.active_s > 0 and not self._proof.seen_after

    def _ramp(self) -> None:
        """Brings a fault that changes with time along, until it ends."""
        if not self.fault.changes:
            return
        elapsed_s = 0.0
        onset_s = self._proof.active_s
        while not self._ended.wait(onset_s + self.fault.next_change_s(elapsed_s) - time.monotonic()):
            with self._lock:
                if self.phase != "active":
                    return
                assert self._undo is not None
                elapsed_s = max(time.monotonic() - onset_s, self.fault.next_change_s(elapsed_s))
                try:
                    self._backend.adjust(self.fault, self._undo, elapsed_s)
                except BackendError as error:
                    self._emit("note", detail=f"{self.fault.name} did not follow its ramp: {error}")

    def _say(self, state: str, detail: str = "") -> None:
        self._emit(state, fault=self.fault.name, detail=detail)
        if state in _ACTIONS:
            on = self.fault.target
            if self._undo is not None and not self.fault.instant:
                on += f": {description(self._backend, self._undo)}"
            result = f"{state}: {detail}" if detail else state
            self._audit(_ACTIONS[state], f"{self.fault.name} ({self.fault.kind})", on, result)
