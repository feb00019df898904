"""Histories written by hand: one row an operation, numbered as they come."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from invariants.history import History, Operation


def operation(
    process: str,
    kind: str,
    value: Any = None,
    result: Any = None,
    *,
    key: str | None = None,
    at: tuple[float, float],
    outcome: Any = "ok",
    error: str = "",
    number: int = 0,
) -> Operation:
    start_s, end_s = at
    end_s = math.inf if outcome == "info" else end_s
    return Operation(process, number, kind, key, value, outcome, result, start_s, end_s, error)


def history(*operations: Operation) -> History:
    """In the order given, each process's operations numbered."""
    counts: Counter[str] = Counter()
    numbered = []
    for each in sorted(operations, key=lambda op: op.start_s):
        data = {name: getattr(each, name) for name in Operation.__slots__} | {"number": counts[each.process]}
        counts[each.process] += 1
        numbered.append(Operation(**data))
    return History(tuple(numbered))
