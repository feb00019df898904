"""Locks, readers/writer locks, semaphores, pools: who may hold at the same time, and who is passed over.

A client holds for certain from the moment its lock is granted to the moment it begins to release; only these
intervals are compared, so what is found cannot be explained by delays between a client and the lock.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from invariants.checkers.base import Checked, Violation
from invariants.checkers.held import holds_of, surely_met
from invariants.history import History, Operation

HELD = "held"
"""The error of an operation that was not given the lock because others held it."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """`hold` (exclusive) and `share` (a reader) of a key, each with {"from_s", "until_s", "released"} as
    result, on the clock of the history: when it surely held, and whether the lock was given back.

    capacity: so many may hold at once; who shares excludes all who hold. most_overtaken: nobody is passed
    over by more than so many that asked later, 0 for first come, first served, None for no promise. For that
    the result also has "arrived_s", when the request surely stood in line, and "waiting_s", when it surely
    still did, the last time that is known.

    Or, as `invariants.checkers.held` has it, `acquire`, `acquire_shared` and `release` with a token.
    """

    capacity: int = 1
    most_overtaken: int | None = None

    @property
    def name(self) -> str:
        return "exclusion"

    def check(self, history: History) -> Checked:
        violations, contended, lines, holds = list[Violation](), 0, 0, 0
        for operations in history.by_key().values():
            told = holds_of(operations)
            asked = [op for op in operations if op.kind in ("hold", "share")]
            answered = [hold for hold, _ in told if hold.happened or hold.error == HELD]
            contended += _met(asked, self.capacity) + surely_met(answered, self.capacity)
            asked = sorted([*asked, *(hold for hold, _ in told)], key=lambda op: op.start_s)
            held = [op for op in asked if op.happened]
            holds += len(held)
            parts = {(hold.process, hold.number): proof for hold, proof in told}
            violations += [_with(parts, found) for found in self._together(held) + self._stuck(asked)]
            if self.most_overtaken is not None:
                found, tried = self._overtaken(held, self.most_overtaken)
                violations += found
                lines += tried
        return Checked(tuple(violations), self._doubt(contended, lines), {"holds": holds, "met": contended})

    def _doubt(self, contended: int, lines: int) -> str:
        if not contended:
            return "nobody came while others had what excludes them"
        if self.most_overtaken is not None and not lines:
            return "nobody is known to have come while another stood in line"
        return ""

    def _together(self, held: Sequence[Operation]) -> list[Violation]:
        violations = []
        for holders in together(held):
            alone = [op for op in holders if op.kind == "hold"]
            if len(alone) > self.capacity:
                title = f"{len(alone)} held at the same time, {self.capacity} allowed"
                violations.append(Violation(self.name, title, tuple(alone), "overlap"))
            elif alone and len(alone) < len(holders):
                title = f"{len(holders) - len(alone)} shared what {len(alone)} held alone"
                violations.append(Violation(self.name, title, tuple(holders), "shared"))
        return violations

    def _stuck(self, asked: Sequence[Operation]) -> list[Violation]:
        """Those that were told that others held, while nobody can have."""
        violations, others = [], [op for op in asked if op.maybe]
        starts_s = [op.start_s for op in others]
        latest_s = list(itertools.accumulate(map(_held_until_s, others), max))
        for refused in [op for op in asked if op.outcome == "fail" and op.error == HELD]:
            place = bisect_right(starts_s, refused.end_s)
            if not place or latest_s[place - 1] < refused.start_s:
                title = f"it was not given although nobody can have held it: {refused}"
                shown = (*others[max(0, place - 1) : place], refused)
                violations.append(Violation(self.name, title, shown, "stuck"))
        return violations

    def _overtaken(self, held: Sequence[Operation], most: int) -> tuple[list[Violation], int]:
        """(violations, how many stood in line while another came)"""
        violations, tried = [], 0
        for waiter in held:
            arrived_s, waiting_s = waiter.result.get("arrived_s"), waiter.result.get("waiting_s")
            if arrived_s is None or waiting_s is None:
                continue
            later = [op for op in held if arrived_s < op.start_s < waiting_s]
            tried += bool(later)
            before = [op for op in later if op.result["from_s"] < waiting_s]
            if len(before) > most:
                title = f"{len(before)} that asked later were served first, {most} allowed: {waiter}"
                violations.append(Violation(self.name, title, (waiter, *before), "overtaken"))
        return violations, tried


def _with(parts: Mapping[tuple[str, int], tuple[Operation, ...]], found: Violation) -> Violation:
    """With what each stands for in its place."""
    really = [part for op in found.operations for part in parts.get((op.process, op.number), (op,))]
    return replace(found, operations=tuple(sorted(really, key=lambda op: op.start_s)))


def together(held: Sequence[Operation]) -> list[list[Operation]]:
    """Each set of operations that surely held at one instant, as it was when one came to it."""
    spans = [(op.result["from_s"], op.result["until_s"], op) for op in held]
    # An end comes before a start of the same instant: they do not overlap.
    events = [(until_s, 0, op) for from_s, until_s, op in spans if until_s > from_s]
    events += [(from_s, 1, op) for from_s, until_s, op in spans if until_s > from_s]
    holders: list[Operation] = []
    found = []
    for _, begins, operation in sorted(events, key=lambda event: event[:2]):
        if begins:
            holders.append(operation)
            found.append(list(holders))
        else:
            holders.remove(operation)
    return found


def waits_s(history: History) -> list[float]:
    """How long each that was given the lock had to wait for it."""
    return [op.result["from_s"] - op.start_s for op in history.of("hold", "share") if op.happened]


def _met(asked: Sequence[Operation], capacity: int) -> int:
    """How many came while others had, or asked for, what excludes them."""
    met, active = 0, list[Operation]()
    for operation in [op for op in asked if op.happened or op.error == HELD]:
        active = [op for op in active if op.end_s > operation.start_s]
        alone = sum(op.kind == "hold" for op in active)
        if operation.kind == "hold":
            met += alone >= capacity or alone < len(active)
        else:
            met += alone > 0
        active.append(operation)
    return met


def _held_until_s(operation: Operation) -> float:
    given_back = operation.happened and operation.result["released"]
    return operation.end_s if given_back else math.inf
