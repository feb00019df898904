"""Services: each request is answered, in time, again after an outage, and for those alone who may ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class Answered:
    """`request`: each has a good answer."""

    @property
    def name(self) -> str:
        return "answered"

    def check(self, history: History) -> Checked:
        requests = history.of("request")
        bad = [op for op in requests if not op.happened]
        found = _first_of_each(bad)
        violations = [
            Violation(self.name, f"{op.value} was not answered: {op.error}", (op,), "unanswered")
            for op in found
        ]
        seen = {"requests": len(requests), "unanswered": len(bad)}
        return Checked(tuple(violations), "" if requests else "nothing was asked for", seen)


@dataclass(frozen=True, slots=True)
class EndsInTime:
    """`request`: each has an answer, be it a refusal, within limit_s."""

    limit_s: float

    @property
    def name(self) -> str:
        return "ends-in-time"

    def check(self, history: History) -> Checked:
        requests = history.of("request")
        late = [op for op in requests if op.outcome == "info" or op.end_s - op.start_s > self.limit_s]
        violations = [
            Violation(self.name, f"{op.value} had no answer within {self.limit_s:g} s", (op,), "late")
            for op in _first_of_each(late)
        ]
        seen = {"requests": len(requests), "late": len(late)}
        return Checked(tuple(violations), "" if requests else "nothing was asked for", seen)


@dataclass(frozen=True, slots=True)
class Recovers:
    """`recover` at the end, when no fault acts any more: its result says what is still broken, or is empty.
    Only what was broken can recover: a fault acted, or a `request` was not answered."""

    @property
    def name(self) -> str:
        return "recovers"

    def check(self, history: History) -> Checked:
        recoveries = [op for op in history.of("recover") if op.happened]
        violations = [
            Violation(self.name, f"it does not recover: {op.result}", (op,), "does not recover")
            for op in recoveries
            if op.result
        ]
        broke = bool(history.faults) or any(not op.happened for op in history.of("request"))
        doubt = "" if broke else "nothing broke, so that nothing had to recover"
        if not recoveries:
            doubt = "it was not seen whether it recovers"
        seen = {"faults": len(history.faults), "recoveries": len(recoveries)}
        return Checked(tuple(violations), doubt, seen)


@dataclass(frozen=True, slots=True)
class Admission:
    """`bad` and `good` with a kind of token as value; the result is whether it was admitted, null where there
    was no such token to be had. A bad one that is answered by an error was not admitted; a good one neither.
    """

    @property
    def name(self) -> str:
        return "admission"

    def check(self, history: History) -> Checked:
        bad, good = history.of("bad"), history.of("good")
        violations = [
            Violation(self.name, f"a bad token was admitted: {op.value}", (op,), "admitted")
            for op in _first_of_each(op for op in bad if op.happened and op.result)
        ]
        violations += [
            Violation(self.name, f"a good token was turned away: {op.value} {op.error}", (op,), "turned away")
            for op in _first_of_each(op for op in good if not op.happened or op.result is False)
        ]
        refused = sum(op.happened and op.result is False for op in bad)
        admitted = sum(op.happened and op.result is True for op in good)
        # A service that turns everybody away, or lets everybody in, shows nothing of either alone.
        doubt = "" if refused and admitted else "no good and bad token were both tried"
        return Checked(tuple(violations), doubt, {"refused": refused, "admitted": admitted})


@dataclass(frozen=True, slots=True)
class NoneHeldUp:
    """`overtake`: whether a request was answered while an earlier one had to wait; null where none had to."""

    @property
    def name(self) -> str:
        return "none-held-up"

    def check(self, history: History) -> Checked:
        tried = [op for op in history.of("overtake") if op.happened and op.result is not None]
        held = [op for op in tried if op.result is False]
        title = "a request was held up by an earlier one that had to wait"
        violations = [Violation(self.name, title, (op,), "held up") for op in held[:1]]
        doubt = "" if tried else "no request had to wait"
        return Checked(tuple(violations), doubt, {"tried": len(tried), "held up": len(held)})


def _first_of_each(operations: Iterable[Operation]) -> list[Operation]:
    first: dict[str, Operation] = {}
    for operation in operations:
        first.setdefault(repr(operation.value), operation)
    return list(first.values())
