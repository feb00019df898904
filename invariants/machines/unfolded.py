"""Steps that do several things, for sequences are short: the rule returns what each was, and the checker gets
each as an operation of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from invariants.checkers.base import Checked, Checker
from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class Unfolded:
    """parts: what an operation stands for, besides itself."""

    checker: Checker
    parts: Callable[[Operation], Iterable[Operation]]

    @property
    def name(self) -> str:
        return self.checker.name

    def check(self, history: History) -> Checked:
        parts = [part for operation in history for part in self.parts(operation)]
        return self.checker.check(History((*history.operations, *parts), history.faults))


def part(
    whole: Operation,
    place: int,
    kind: str,
    start_s: float,
    end_s: float,
    *,
    key: str | None = None,
    result: Any = None,
    error: str = "",
) -> Operation:
    """One of those that `whole` stands for; it failed where it has an error, and had no answer where it has
    no end. Each is a process of its own."""
    return Operation(
        process=f"{whole.process} {whole.number}.{place}",
        number=0,
        kind=kind,
        key=key,
        value=None,
        outcome="info" if math.isinf(end_s) else "fail" if error else "ok",
        result=result,
        start_s=start_s,
        end_s=end_s,
        error=error,
    )
