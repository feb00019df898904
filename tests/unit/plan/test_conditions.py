"""Faults that wait for others: as they are written, and what can never come of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos_locust.errors import InvalidPlan
from chaos_locust.faults.conditions import When, parse_when
from chaos_locust.plan.check import Checked, check_plan
from chaos_locust.plan.model import Plan

MakePlan = Callable[..., Plan]
NEXT: dict[str, Any] = {"name": "next", "kind": "pause", "target": "web", "for": "5s"}
KILL: dict[str, Any] = {"name": "kill-web", "kind": "kill", "target": "web", "at": "70s"}


@pytest.mark.parametrize(
    ("text", "when", "shown"),
    [
        ("steady for 10s", When("steady", for_s=10), "steady for 10s"),
        (" steady  for 1.5 min ", When("steady", for_s=90), "steady for 90s"),
        ("slow-db active", When("active", "slow-db"), "slow-db active"),
        ("slow-db active for 500 ms", When("active", "slow-db", 0.5), "slow-db active for 500ms"),
        ("slow-db over", When("over", "slow-db"), "slow-db over"),
        ("slow-db over for 5s", When("over", "slow-db", 5), "slow-db over for 5s"),
        ("steady over", When("over", "steady"), "steady over"),
        ("recovered after slow-db", When("recovered", "slow-db"), "recovered after slow-db"),
    ],
)
def test_conditions_are_read_and_written_alike(text: str, when: When, shown: str) -> None:
    assert parse_when(text) == when
    assert str(when) == shown
    assert parse_when(shown) == when


@pytest.mark.parametrize(
    "text",
    ["", "steady", "slow-db", "Slow active", "slow-db active 5s", "recovered after", "slow-db gone", 5],
)
def test_what_is_no_condition_is_told_with_all_that_is(text: object) -> None:
    with pytest.raises(ValueError, match="is no condition; allowed: steady for 10s, FAULT active, "):
        parse_when(text)


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ([{**NEXT, "when": "slow-bd over"}], "faults[1].when: 'slow-bd' is no fault; did you mean slow-db?"),
        ([{**NEXT, "when": "next over"}], "faults[1].when: none of these ever comes"),
        (
            [{**NEXT, "when": "third over"}, {**NEXT, "name": "third", "when": "next active"}],
            "faults[1].when: none of these ever comes, for each waits for the next: next, third, next",
        ),
        (
            [{**NEXT, "when": "slow-db active for 15s"}],
            "faults[1].when: slow-db is over after 15s; give less, or wait for slow-db over",
        ),
        (
            [KILL, {**NEXT, "when": "kill-web active for 3s"}],
            "faults[2].when: a kill happens at once; write kill-web over for 3s",
        ),
    ],
)
def test_a_condition_that_can_never_come_is_refused(
    plan: MakePlan, slow: dict[str, Any], faults: list[dict[str, Any]], told: str
) -> None:
    with pytest.raises(InvalidPlan) as refused:
        plan(faults=[slow, *faults])
    assert [str(problem) for problem in refused.value.problems if str(problem).startswith(told)]


def times(checked: Checked) -> list[tuple[str, float, float, bool]]:
    return [
        (fault.fault.name, round(fault.starts_s, 2), round(fault.ends_s, 2), fault.exact)
        for fault in checked.faults
    ]


def test_check_tells_the_earliest_times_along_a_chain(plan: MakePlan, slow: dict[str, Any]) -> None:
    third = {**NEXT, "name": "third", "when": "recovered after next"}
    checked = check_plan(plan(faults=[third, {**NEXT, "when": "slow-db over for 5s"}, slow]))
    assert not checked.problems
    assert times(checked) == [
        ("third", 82.1, 87.1, False),  # 17 s after next: 15 s of steady windows, looked at 2 s later
        ("next", 60.05, 65.05, False),
        ("slow-db", 40, 55, True),
    ]


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("late over", "faults[1].when: comes at the earliest at 120.05s, but the load ends at 120s"),
        ("late active for 14s", "faults[1].for: ends at 119.05s, but the load ends at 120s; leave 1s"),
    ],
)
def test_one_that_cannot_come_within_the_load_is_refused(
    plan: MakePlan, slow: dict[str, Any], when: str, told: str
) -> None:
    late = {**slow, "name": "late", "at": "100s", "for": "20s"}
    problems = check_plan(plan(faults=[late, {**NEXT, "when": when}])).problems
    assert [str(problem) for problem in problems if str(problem).startswith(told)], problems


def test_one_that_waits_for_the_end_of_another_does_not_clash_with_it(
    plan: MakePlan, slow: dict[str, Any]
) -> None:
    """Nor does one whose time follows from times clash with what comes much later."""
    steady = {key: value for key, value in slow.items() if key != "at"} | {"when": "steady for 30s"}
    again = {**steady, "name": "again", "when": "slow-db over for 2s"}
    assert not check_plan(plan(faults=[steady, again])).problems
    beside = {**steady, "name": "beside", "when": "slow-db active for 2s"}
    (problem,) = check_plan(plan(faults=[steady, beside])).problems
    assert "cannot act together with faults[0] (slow-db) on db" in str(problem)
    later = {**slow, "name": "later", "at": "100s"}
    assert not check_plan(plan(faults=[slow, again, later])).problems
