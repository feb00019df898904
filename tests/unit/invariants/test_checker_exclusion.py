"""Locks: what surely was held at the same time is found, and nothing that only may have been."""

from __future__ import annotations

from typing import Any

import pytest

from invariants.checkers.exclusion import Exclusion, together, waits_s
from invariants.history import Operation

from .histories import history, operation


def hold(
    process: str, asked_s: float, from_s: float, until_s: float, *, kind: str = "hold", **more: Any
) -> Operation:
    result = {"from_s": from_s, "until_s": until_s, "released": True} | more
    return operation(process, kind, result=result, at=(asked_s, until_s + 0.1))


def held(process: str, asked_s: float, until_s: float) -> Operation:
    return operation(process, "hold", at=(asked_s, until_s), outcome="fail", error="held")


def test_one_after_the_other_is_right_though_they_asked_at_once() -> None:
    checked = Exclusion().check(history(hold("a", 0, 1, 2), hold("b", 0, 2, 3)))
    assert checked.passed
    assert checked.seen == {"holds": 2, "met": 1}


def test_two_at_once_are_shown() -> None:
    found = Exclusion().check(history(hold("a", 0, 1, 3), hold("b", 0, 2, 4), hold("c", 5, 6, 7)))
    assert [violation.anomaly for violation in found.violations] == ["overlap"]
    assert {op.process for op in found.violations[0].operations} == {"a", "b"}
    assert found.violations[0].title == "2 held at the same time, 1 allowed"


def test_a_semaphore_allows_as_many_as_it_has() -> None:
    three = history(hold("a", 0, 1, 9), hold("b", 0, 2, 9), hold("c", 0, 3, 9))
    assert [found.anomaly for found in Exclusion(2).check(three).violations] == ["overlap"]
    assert Exclusion(3).check(three).violations == ()
    assert Exclusion(3).check(three).inconclusive, "the fourth never came, so nothing was shown"


def test_readers_are_together_and_a_writer_is_alone() -> None:
    readers = [hold("a", 0, 1, 3, kind="share"), hold("b", 0, 2, 4, kind="share")]
    assert Exclusion().check(history(*readers, hold("c", 0, 4, 5))).passed
    assert max(map(len, together(readers))) == 2
    (found,) = Exclusion().check(history(*readers, hold("c", 0, 3.5, 5))).violations
    assert (found.anomaly, {op.process for op in found.operations}) == ("shared", {"b", "c"})


def test_an_operation_without_an_answer_may_have_held_and_proves_nothing() -> None:
    silent = operation("a", "hold", at=(0, 0), outcome="info")
    checked = Exclusion().check(history(silent, hold("b", 1, 2, 3), held("c", 4, 5), hold("d", 1, 3, 4)))
    assert checked.passed, "whoever got no answer may hold it for ever"


def test_nobody_can_have_held_what_was_refused() -> None:
    (found,) = Exclusion().check(history(hold("a", 0, 1, 2), held("b", 3, 4))).violations
    assert found.anomaly == "stuck"
    assert [op.process for op in found.operations] == ["a", "b"]


@pytest.mark.parametrize(
    "before",
    [
        hold("a", 0, 1, 2, released=False),
        operation("a", "hold", at=(0, 0), outcome="info"),
        hold("a", 0, 1, 3.5),
    ],
    ids=["not given back", "no answer", "still held"],
)
def test_a_refusal_is_right_while_somebody_may_hold_it(before: Operation) -> None:
    assert Exclusion().check(history(before, held("b", 3, 4))).violations == ()


def test_what_could_not_be_reached_is_no_refusal() -> None:
    away = operation("b", "hold", at=(3, 4), outcome="fail", error="connection refused")
    assert Exclusion().check(history(hold("a", 0, 1, 2), away)).violations == ()


def test_alone_nothing_is_shown() -> None:
    assert "nobody came" in Exclusion().check(history(hold("a", 0, 1, 2), hold("b", 5, 6, 7))).inconclusive


LINE = [
    hold("a", 0, 0.1, 5, arrived_s=0.1, waiting_s=0.1),
    hold("b", 1, 7, 8, arrived_s=1.5, waiting_s=6.9),
    hold("c", 2, 5.2, 6, arrived_s=2.5, waiting_s=5.1),
]


def test_who_asked_later_and_was_served_first_is_counted() -> None:
    (found,) = Exclusion(most_overtaken=0).check(history(*LINE)).violations
    assert found.anomaly == "overtaken"
    assert [op.process for op in found.operations] == ["b", "c"]
    assert Exclusion(most_overtaken=1).check(history(*LINE)).passed
    assert Exclusion().check(history(*LINE)).passed


def test_who_asked_before_the_other_surely_stood_in_line_did_not_pass_it() -> None:
    late = [LINE[0], hold("b", 1, 7, 8, arrived_s=2.2, waiting_s=6.9), LINE[2]]
    checked = Exclusion(most_overtaken=0).check(history(*late))
    assert checked.violations == ()
    assert "stood in line" in checked.inconclusive, "nothing is known of an order"


def test_waits_are_told() -> None:
    assert waits_s(history(*LINE)) == pytest.approx([0.1, 6, 3.2])
