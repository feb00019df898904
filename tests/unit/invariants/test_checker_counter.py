"""Counters and stocks: each answer lies between what surely happened and what may have."""

from __future__ import annotations

import pytest

from invariants.checkers.counter import Counter
from invariants.history import Operation

from .histories import history, operation

op = operation
SILENT = op("s", "add", 5, at=(0, 0), outcome="info")


@pytest.mark.parametrize("result", [3, 8])
def test_what_had_no_answer_may_count_or_not(result: int) -> None:
    assert (
        Counter()
        .check(history(op("a", "add", 3, at=(0, 1)), SILENT, op("b", "total", result=result, at=(2, 3))))
        .passed
    )


@pytest.mark.parametrize(("result", "anomaly"), [(2, "too little"), (9, "too much")])
def test_what_cannot_be_is_told(result: int, anomaly: str) -> None:
    changes = (op("a", "add", 3, at=(0, 1)), SILENT)
    (found,) = Counter().check(history(*changes, op("b", "read", result=result, at=(2, 3)))).violations
    assert found.anomaly == anomaly
    assert f"{result} was read where it has to be from 3 to 8" in found.title


def test_a_refused_addition_does_not_count() -> None:
    refused = op("a", "add", 3, at=(0, 1), outcome="fail")
    read = op("b", "read", result=3, at=(4, 5))
    (found,) = Counter().check(history(refused, op("a", "add", 1, at=(2, 3)), read)).violations
    assert found.anomaly == "too much"


def test_additions_at_the_time_of_a_read_may_be_in_it() -> None:
    adding = op("a", "add", 1, at=(1, 4))
    for result in (0, 1):
        during = op("b", "read", result=result, at=(2, 3))
        assert Counter().check(history(adding, during, op("c", "read", result=1, at=(5, 6)))).passed


def test_what_begins_at_the_instant_that_a_read_ends_may_be_in_it() -> None:
    read, adding = op("b", "read", result=1, at=(0, 1)), op("a", "add", 1, at=(1, 2))
    assert Counter().check(history(read, adding, op("b", "total", result=1, at=(3, 4)))).passed


def test_keys_are_counted_apart() -> None:
    each = [op(key, "add", 1, key=key, at=(0, 1)) for key in "xy"]
    reads = [op(key, "read", result=1, key=key, at=(2, 3)) for key in "xy"]
    assert Counter().check(history(*each, *reads)).passed
    assert "not read after" in Counter().check(history(*each, reads[0])).inconclusive


def test_without_a_read_after_the_last_change_nothing_is_said() -> None:
    read, add = op("b", "read", result=0, at=(0, 1)), op("a", "add", 1, at=(2, 3))
    assert Counter().check(history(read, add)).inconclusive == "it was not read after the last change"
    assert Counter().check(history(read)).inconclusive == "nothing was added or taken"


def take(
    process: str, amount: int, at: tuple[float, float], outcome: str = "ok", error: str = ""
) -> Operation:
    return op(process, "take", amount, at=at, outcome=outcome, error=error)


def test_the_last_one_is_sold_once() -> None:
    refused = [take(f"r{n}", 1, (0, 2), "fail", "too little") for n in range(49)]
    sold, left = take("a", 1, (0, 1)), op("z", "total", result=0, at=(3, 4))
    assert Counter(1, 0).check(history(sold, *refused, left)).passed
    twice = Counter(1, 0).check(history(sold, take("b", 1, (0, 1)), *refused[1:], left))
    assert [found.anomaly for found in twice.violations] == ["too much", "oversold"]
    assert "1 more were taken than were there to take" in twice.violations[1].title


def test_what_may_have_been_put_back_may_be_sold() -> None:
    sales = [take("a", 1, (0, 1)), take("b", 1, (2, 3))]
    left = op("z", "total", result=0, at=(4, 5))
    silent = op("s", "add", 1, at=(1, 1), outcome="info")
    assert Counter(1, 0).check(history(*sales, silent, left)).passed
    assert Counter(1, 0).check(history(*sales, left)).violations


def test_a_sale_without_an_answer_is_no_proof_of_too_many() -> None:
    silent = take("s", 1, (0, 0), "info")
    for result in (0, 1):
        rest = op("z", "total", result=result, at=(4, 5))
        assert Counter(2, 0).check(history(take("a", 1, (0, 1)), silent, rest)).passed


def test_what_is_there_must_be_sold() -> None:
    refused = take("b", 1, (2, 3), "fail", "too little")
    done = history(take("a", 1, (0, 1)), refused, op("z", "total", result=1, at=(4, 5)))
    (found,) = Counter(2, 0).check(done).violations
    assert (found.anomaly, found.title) == ("refused", "1 were refused where at least 1 were there to take")
    away = take("b", 1, (2, 3), "fail", "not reached")
    left = op("z", "total", result=1, at=(4, 5))
    assert Counter(2, 0).check(history(take("a", 1, (0, 1)), away, left)).passed


def test_a_hundred_times_a_thousand() -> None:
    """In order of their starts, so that a search over all orders would have no end."""
    adds = [
        Operation(f"{lane}", n, "add", None, 1, "ok", None, n, n + 0.9)
        for lane in range(100)
        for n in range(1000)
    ]
    counts = history(*adds, op("z", "total", result=100_000, at=(2000, 2001)))
    assert Counter().check(counts).seen == {"changes": 100_000, "reads": 1}
    assert Counter().check(counts).passed
    short = history(*adds, op("z", "total", result=99_999, at=(2000, 2001)))
    assert [found.anomaly for found in Counter().check(short).violations] == ["too little"]
