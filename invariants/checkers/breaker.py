"""Circuit breakers: once what is behind one is healthy again, calls are let through again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation

CALLS = ("call", "last_call")
BREAKS = ("break_dependency",)
HEALS = ("heal_dependency", "last_heal")
OPEN = "open"
"""The error of a call that was not let through."""


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """`call` (ok: let through and answered; fail with error `open`: not let through; fail otherwise: let
    through, and failed behind it), `break_dependency` and `heal_dependency`; while a fault of the history
    acts, the dependency may be broken too.

    timeout_s: how long the breaker stays open before it tries; grace_s: how much longer it may take. A call
    has to be let through within both together after the dependency is healthy.
    """

    timeout_s: float
    grace_s: float = 1.0

    @property
    def name(self) -> str:
        return "circuit-breaker"

    def check(self, history: History) -> Checked:
        calls = history.of(*CALLS)
        opened = [call for call in calls if call.error == OPEN]
        violations, recoveries, unanswered = list[Violation](), 0, 0
        for from_s, to_s in _healthy(history):
            late = self._late(calls, from_s, to_s)
            stuck = [call for call in late if call.error == OPEN]
            silent = sum(call.outcome == "info" and call.start_s < to_s for call in calls)
            if not stuck or len(stuck) < len(late):
                recoveries += _recovered(calls, from_s, to_s)
            elif self._apart(stuck) > silent:
                violations.append(self._stuck(stuck, from_s))
            else:
                unanswered = silent
        doubt = ""
        if not opened:
            doubt = "the breaker never opened"
        elif unanswered and not recoveries:
            doubt = f"{unanswered} calls had no answer, and may have failed late and opened the breaker again"
        elif not recoveries:
            doubt = "no call was made long enough after the dependency was healthy again"
        seen = {"calls": len(calls), "not let through": len(opened), "recoveries": recoveries}
        return Checked(tuple(violations), "" if violations else doubt, seen)

    @property
    def _within_s(self) -> float:
        return self.timeout_s + self.grace_s

    def _late(self, calls: Sequence[Operation], from_s: float, to_s: float) -> list[Operation]:
        """Those that have to be let through. One that failed behind the breaker opens it anew when it ends,
        even if it was sent while the dependency was still broken."""
        failed_s = (call.end_s for call in calls if call.outcome == "fail" and call.error != OPEN)
        quiet_s = max((end_s for end_s in failed_s if from_s < end_s < to_s), default=from_s)
        due_s = quiet_s + self._within_s
        return [call for call in calls if due_s <= call.start_s and call.end_s < to_s]

    def _apart(self, stuck: Sequence[Operation]) -> int:
        """Of so many no two can be due to the same opening: a call that nobody heard of again opens the
        breaker once at most."""
        count, last_s = 0, -math.inf
        for call in stuck:
            if call.start_s - last_s > self._within_s:
                count, last_s = count + 1, call.end_s
        return count

    def _stuck(self, stuck: Sequence[Operation], from_s: float) -> Violation:
        title = (
            f"{len(stuck)} calls were not let through, {stuck[0].start_s - from_s:.3g} s and more after the "
            f"dependency was healthy again ({self._within_s:g} s allowed)"
        )
        return Violation(self.name, title, tuple(dict.fromkeys((stuck[0], stuck[-1]))), "stuck open")


def _recovered(calls: Sequence[Operation], from_s: float, to_s: float) -> bool:
    """Whether it was seen that the breaker had been open and let a call through again."""
    answered = (call for call in calls if call.error != OPEN and call.outcome != "info")
    through_s = max((call.start_s for call in answered if from_s <= call.start_s < to_s), default=-math.inf)
    return any(call.error == OPEN and call.end_s < through_s for call in calls)


def _healthy(history: History) -> list[tuple[float, float]]:
    """From when to when the dependency was healthy for certain, after it may have been broken."""
    heals = [op for op in history.of(*HEALS) if op.happened]
    broken = [(from_s, to_s) for _, from_s, to_s in history.faults]
    for op in history.of(*BREAKS):
        if op.maybe:  # a heal at the same time may have come before it, and heals nothing
            to_s = min((heal.end_s for heal in heals if heal.start_s > op.end_s), default=math.inf)
            broken.append((op.start_s, to_s))
    windows, until_s = list[tuple[float, float]](), -math.inf
    for from_s, to_s in sorted(broken):
        if -math.inf < until_s < from_s:
            windows.append((until_s, from_s))
        until_s = max(until_s, to_s)
    return [*windows, (until_s, math.inf)] if -math.inf < until_s < math.inf else windows
