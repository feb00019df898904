"""Circuit breakers: once what is behind one is healthy again, calls are let through again."""

from __future__ import annotations

from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation
from invariants.history import History


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """`call` (ok: let through and answered; fail with error `open`: not let through; fail otherwise: let
    through, and failed behind it), `heal` when the dependency is healthy again, `break` when it is not.

    timeout_s: how long the breaker stays open before it tries; grace_s: how much longer it may take. A call
    has to be let through within both together after the dependency is healthy.
    """

    timeout_s: float
    grace_s: float = 1.0

    @property
    def name(self) -> str:
        return "circuit-breaker"

    def check(self, history: History) -> Checked:
        calls = history.of("call")
        opened = [call for call in calls if call.error == "open"]
        violations, tried = [], 0
        changes = sorted((op for op in history.of("heal", "break") if op.happened), key=lambda op: op.start_s)
        for place, heal in enumerate(changes):
            if heal.kind != "heal":
                continue
            later = [op.start_s for op in changes[place + 1 :] if op.kind == "break"]
            broken_s = min(later, default=float("inf"))
            due_s = heal.end_s + self.timeout_s + self.grace_s
            late = [call for call in calls if due_s <= call.start_s and call.end_s < broken_s]
            was_open = any(call.end_s <= heal.end_s + self.timeout_s for call in opened)
            tried += bool(late) and was_open
            stuck = [call for call in late if call.error == "open"]
            if stuck and len(stuck) == len(late):
                title = (
                    f"{len(stuck)} calls were not let through, {due_s - heal.end_s:g} s and more after the "
                    "dependency was healthy again"
                )
                violations.append(Violation(self.name, title, (heal, stuck[0], stuck[-1]), "stuck open"))
        doubt = ""
        if not opened:
            doubt = "the breaker never opened"
        elif not tried and not violations:
            doubt = "no call was made long enough after the dependency was healthy again"
        seen = {"calls": len(calls), "not let through": len(opened), "heals": tried}
        return Checked(tuple(violations), doubt, seen)
