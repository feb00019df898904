"""Visibility: who sees the flag sees its data."""

from __future__ import annotations

from invariants.checkers.publication import Publication
from invariants.history import Operation

from .histories import history, operation

op = operation


def look(flag: int | None, data: int | None, at: tuple[float, float]) -> Operation:
    return op("r", "look", result={"flag": flag, "data": data}, at=at)


def anomalies(*operations: Operation) -> list[str]:
    return [found.anomaly for found in Publication().check(history(*operations)).violations]


FIRST, SECOND = op("w", "publish", 1, at=(0, 1)), op("w", "publish", 2, at=(4, 6))


def test_what_is_flagged_is_there() -> None:
    assert Publication().check(history(FIRST, look(1, 1, (2, 3)), SECOND, look(1, 1, (5, 7)))).passed
    assert anomalies(FIRST, look(1, None, (2, 3))) == ["stale data"]


def test_a_flag_that_was_replaced_is_not_seen_again() -> None:
    assert anomalies(FIRST, SECOND, look(1, 1, (7, 8))) == ["unseen"]
    assert anomalies(FIRST, look(None, None, (2, 3))) == ["unseen"]
    assert anomalies(look(None, None, (0, 2)), FIRST) == []


def test_two_at_the_same_time_leave_either_flag() -> None:
    other = op("v", "publish", 2, at=(0.5, 2))
    assert anomalies(FIRST, other, look(1, 1, (3, 4))) == []


def test_without_an_answer_it_may_be_seen_or_not() -> None:
    silent = op("w", "publish", 1, at=(0, 0), outcome="info")
    assert anomalies(silent, look(None, None, (2, 3)), look(1, 1, (4, 5))) == []
    assert anomalies(silent, look(1, None, (4, 5))) == ["stale data"]


def test_nobody_set_that_flag() -> None:
    refused = op("w", "publish", 2, at=(2, 3), outcome="fail")
    assert anomalies(FIRST, refused, look(2, 2, (4, 5))) == ["unpublished"]


def test_a_flag_that_nobody_saw_shows_nothing() -> None:
    assert "no flag" in Publication().check(history(look(None, None, (0, 1)), SECOND)).inconclusive
