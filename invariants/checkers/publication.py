"""Visibility: who sees the flag sees the data that were written before it (message passing)."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class Publication:
    """`publish` of a number, whose data are written first and its flag after; `look`, which reads the flag
    first and then the data that belong to it, with {"flag", "data"} as result, each the number that was
    found there, null for none."""

    @property
    def name(self) -> str:
        return "publication"

    def check(self, history: History) -> Checked:
        published = {op.value: op for op in history.of("publish")}
        looks = [op for op in history.of("look") if op.happened]
        seen = [op for op in looks if op.result["flag"] is not None]
        violations = [found for op in seen if (found := self._judge(op, published.get(op.result["flag"])))]
        # Of those that had ended by each time, the one that began last: older flags are gone since.
        ended = sorted((op for op in published.values() if op.happened), key=lambda op: op.end_s)
        ends_s = [op.end_s for op in ended]
        newest = list(itertools.accumulate(ended, _later))
        for look in looks:
            place = bisect_left(ends_s, look.start_s)
            shown = published.get(look.result["flag"])
            if place and _older(shown, look, newest[place - 1]):
                title = f"what was published before is not seen: {look}"
                violations.append(self._of("unseen", title, newest[place - 1], look))
        doubt = "" if seen or violations else "no flag was ever seen"
        return Checked(tuple(violations), doubt, {"published": len(published), "seen": len(seen)})

    def _judge(self, look: Operation, published: Operation | None) -> Violation | None:
        flag, data = look.result["flag"], look.result["data"]
        if published is None or published.outcome == "fail" or look.end_s < published.start_s:
            shown = (look,) if published is None else (published, look)
            return self._of("unpublished", f"a flag was seen that nobody had set: {flag}", *shown)
        if data != flag:
            title = f"the flag says {flag}, and the data that belong to it are still {data}"
            return self._of("stale data", title, published, look)
        return None

    def _of(self, anomaly: str, title: str, *operations: Operation) -> Violation:
        return Violation(self.name, title, operations, anomaly)


def _later(one: Operation, other: Operation) -> Operation:
    return max(one, other, key=lambda op: op.start_s)


def _older(shown: Operation | None, look: Operation, newest: Operation) -> bool:
    """Whether the flag that was shown had surely been replaced."""
    if look.result["flag"] is None:
        return True
    return shown is not None and shown.end_s < newest.start_s
