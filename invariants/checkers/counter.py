"""Counters and stocks: what is there is what was added less what was taken, and never less than allowed.

The `counter` of Jepsen: each answer must lie between what surely happened and what may have happened.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation

TOO_LITTLE = "too little"
"""The error of a `take` that was refused because less was there."""

SHOWN = 5
"""A violation shows so many changes."""


@dataclass(frozen=True, slots=True)
class Counter:
    """`add` and `take` of an amount that is not negative, and `read` with what is there as result, by key;
    `total` is a read at the end.

    initial: what is there at first. least: there is never less, None for no such promise; then a `take` with
    the error `too little` is wrong where there was surely enough.
    """

    initial: int = 0
    least: int | None = None

    @property
    def name(self) -> str:
        return "counter"

    def check(self, history: History) -> Checked:
        violations, unread, seen = list[Violation](), 0, {"changes": 0, "reads": 0}
        for operations in history.by_key().values():
            changes = [op for op in operations if op.kind in ("add", "take") and op.maybe]
            reads = [op for op in operations if op.kind in ("read", "total") and op.happened]
            level = _Level(self.initial, changes)
            violations += [found for op in reads if (found := self._read(op, level, changes))]
            if self.least is not None:
                refused = [op for op in operations if op.kind == "take" and op.error == TOO_LITTLE]
                violations += self._oversold(changes, level, self.least)
                violations += [
                    found for op in refused if (found := self._refused(op, level, self.least, changes))
                ]
            ended_s = max((op.end_s for op in changes if op.happened), default=float("-inf"))
            unread += bool(changes) and not any(op.start_s > ended_s for op in reads)
            seen["changes"] += sum(op.happened for op in changes)
            seen["reads"] += len(reads)
        doubt = "it was not read after the last change" if unread and not violations else ""
        if not seen["changes"]:
            doubt = "nothing was added or taken"
        return Checked(tuple(violations), doubt, seen)

    def _read(self, read: Operation, level: _Level, changes: Sequence[Operation]) -> Violation | None:
        low, high = level.low(read.start_s, read.end_s), level.high(read.start_s, read.end_s)
        if low <= read.result <= high:
            return None
        allowed = str(low) if low == high else f"from {low} to {high}"
        title = f"{read.result} was read where it has to be {allowed}"
        return self._of("too little" if read.result < low else "too much", title, read, changes)

    def _oversold(self, changes: Sequence[Operation], level: _Level, least: int) -> list[Violation]:
        taken = [op for op in changes if op.kind == "take" and op.happened]
        for take in sorted(taken, key=lambda op: op.end_s):
            most = level.high(take.end_s, take.end_s, with_end=True)
            if most < least:
                gone = [op for op in taken if op.end_s <= take.end_s]
                title = f"{least - most} more were taken than were there to take"
                return [Violation(self.name, title, tuple(gone[-SHOWN:]), "oversold")]
        return []

    def _refused(
        self, take: Operation, level: _Level, least: int, changes: Sequence[Operation]
    ) -> Violation | None:
        there = level.low(take.start_s, take.end_s) - least
        if there < take.value:
            return None
        title = f"{take.value} were refused where at least {there} were there to take"
        return self._of("refused", title, take, changes)

    def _of(self, anomaly: str, title: str, judged: Operation, changes: Sequence[Operation]) -> Violation:
        before = [op for op in changes if op.start_s <= judged.end_s]
        return Violation(self.name, title, (*before[-SHOWN:], judged), anomaly)


class _Level:
    """What can have been there between two moments."""

    def __init__(self, initial: int, changes: Sequence[Operation]) -> None:
        self._initial = initial
        self._added, self._taken = (
            _Sums([op for op in changes if op.kind == kind]) for kind in ("add", "take")
        )

    def low(self, start_s: float, end_s: float) -> int:
        return self._initial + self._added.surely(start_s) - self._taken.perhaps(end_s)

    def high(self, start_s: float, end_s: float, *, with_end: bool = False) -> int:
        """with_end: what ended at the first moment counts as done."""
        return self._initial + self._added.perhaps(end_s) - self._taken.surely(start_s, with_end=with_end)


class _Sums:
    def __init__(self, changes: Sequence[Operation]) -> None:
        self._starts = [op.start_s for op in changes]
        self._begun = list(itertools.accumulate((int(op.value) for op in changes), initial=0))
        ended = sorted((op.end_s, int(op.value)) for op in changes if op.happened)
        self._ends = [end_s for end_s, _ in ended]
        self._done = list(itertools.accumulate((value for _, value in ended), initial=0))

    def perhaps(self, at_s: float) -> int:
        """Of those that had begun by then."""
        return self._begun[bisect_right(self._starts, at_s)]

    def surely(self, at_s: float, *, with_end: bool = False) -> int:
        """Of those that had ended before."""
        find = bisect_right if with_end else bisect_left
        return self._done[find(self._ends, at_s)]
