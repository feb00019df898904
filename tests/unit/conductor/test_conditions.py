"""Faults that wait for other faults: when they come, and what becomes of them when they cannot."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.conductor import Action, Conductor, View
from chaos_locust.events import FaultEvent, FaultState
from chaos_locust.judge.verdict import Outcome
from chaos_locust.plan.model import Plan

STEADY = View(steady=True, steady_for_s=20.0, baseline=Outcome.UPHELD)
UNSTEADY = View(steady=False, baseline=Outcome.UPHELD)
SLOW: dict[str, Any] = {"name": "slow-db", "kind": "latency", "target": "db", "latency": "200ms"}
KILL = {"name": "kill-pay", "kind": "kill", "target": "pay", "at": "40s"}


def conductor(*faults: dict[str, Any], for_s: float = 120.0) -> Conductor:
    plan = Plan(
        name="a plan",
        targets={"db": {"proxy": "db"}, "cache": {"proxy": "cache"}, "pay": {"pidfile": "pay.pid"}},
        load=[{"step": "base", "rate": "50/s", "for": f"{for_s:g}s"}],
        faults=list(faults),
    )
    return Conductor(plan, for_s)


def slow() -> dict[str, Any]:
    return {**SLOW, "at": "40s", "for": "15s"}


def after(when: str, **changes: Any) -> dict[str, Any]:
    return {**SLOW, "name": "next", "target": "cache", "when": when, "for": "5s", **changes}


def course(subject: Conductor, until_s: float, view: View = STEADY, said: FaultState = "active") -> list[Any]:
    """(second, action, fault) of what is done, confirmed 0.3 s later. said: of the plan's first fault."""
    done: list[Any] = []
    to_come: list[FaultEvent] = []
    for index in range(round(until_s * 20) + 1):
        now_s = index / 20
        for event in [event for event in to_come if event.t_s <= now_s]:
            subject.note(event)
            to_come.remove(event)
        for action in subject.tick(now_s, view):
            done.append((round(now_s, 2), action.do, action.fault))
            if action.do == "inject":
                first = action.fault == next(iter(subject.plan.faults)).name
                to_come.append(FaultEvent(now_s + 0.3, action.fault, said if first else "active"))
            if action.do == "revert":
                to_come.append(FaultEvent(now_s + 0.3, action.fault, "reverted"))
    return done


@pytest.mark.parametrize(
    ("when", "onset_s"),
    [
        ("slow-db active", 40.3),
        ("slow-db active for 5s", 45.3),
        ("slow-db over", 55.3),
        ("slow-db over for 5s", 60.3),
    ],
)
@pytest.mark.parametrize("view", [STEADY, UNSTEADY])
def test_it_comes_when_what_it_waits_for_is_confirmed(when: str, onset_s: float, view: View) -> None:
    """Into a target that the one before has made unsteady, too: only that one waits for a steady target."""
    first = slow() | {"anyway": True}
    done = course(conductor(first, after(when)), 80, view)
    assert [each for each in done if each[2] == "next"] == [
        (30.0, "observe", "next"),  # as soon as the one it waits for is
        (pytest.approx(onset_s, abs=0.06), "inject", "next"),
        (pytest.approx(onset_s + 5, abs=0.06), "revert", "next"),
    ]


def test_the_order_in_the_plan_does_not_matter() -> None:
    done = course(conductor(after("slow-db active"), slow()), 80)
    assert (pytest.approx(40.3, abs=0.06), "inject", "next") in done


@pytest.mark.parametrize("when", ["kill-pay active", "kill-pay over"])
def test_an_instant_fault_is_active_and_over_when_it_came(when: str) -> None:
    done = course(conductor(KILL, after(when)), 80, UNSTEADY)
    assert ("skip", "kill-pay") in [each[1:] for each in done]
    done = course(conductor(KILL | {"anyway": True}, after(when)), 80, UNSTEADY)
    assert (pytest.approx(40.3, abs=0.06), "inject", "next") in done


def test_recovered_means_steady_windows_since_it_was_over() -> None:
    subject = conductor(slow(), after("recovered after slow-db"))
    course(subject, 60)
    assert (
        subject.tick(72.0, View(True, 60.0, Outcome.UPHELD)) == []
    )  # windows of the fault's time among them
    assert subject.tick(75.0, UNSTEADY) == []
    assert subject.tick(84.0, View(True, 9.0, Outcome.UPHELD)) == []
    assert [action.do for action in subject.tick(85.0, View(True, 10.0, Outcome.UPHELD))] == ["inject"]


@pytest.mark.parametrize(
    ("said", "when", "reason"),
    [
        ("failed", "slow-db active", "it waits for slow-db, which was not injected"),
        ("failed", "slow-db over for 5s", "it waits for slow-db, which was not injected"),
        ("dirty", "slow-db over", "it waits for slow-db, which could not be undone"),
    ],
)
def test_it_is_skipped_with_what_it_waits_for(said: FaultState, when: str, reason: str) -> None:
    subject = conductor(slow(), after(when), after("next over", name="last"))
    skipped = []
    for index in range(1000):
        for action in subject.tick(index / 10, STEADY):
            if action.do == "inject":
                subject.note(FaultEvent(index / 10, action.fault, said))
            if action.do == "skip":
                skipped.append(action)
    assert skipped == [
        Action("skip", "next", reason),
        Action("skip", "last", "it waits for next, which was not injected"),
    ]
    assert subject.all_over


def test_it_is_skipped_when_what_it_waits_for_was_over_too_early() -> None:
    subject = conductor(slow(), after("slow-db active for 14s"))
    course(subject, 41)
    subject.note(FaultEvent(50.0, "slow-db", "reverted"))  # its lease was cut short
    (action,) = subject.tick(50.1, STEADY)
    assert action == Action(
        "skip", "next", "slow-db was over before its condition came: slow-db active for 14s"
    )


def test_it_is_skipped_as_soon_as_it_can_no_longer_end_before_the_load() -> None:
    done = course(conductor(slow(), after("recovered after slow-db", **{"for": "50s"})), 119)
    assert done[-1] == (70.05, "skip", "next")


def test_what_never_came_is_told_with_its_condition() -> None:
    subject = conductor(slow(), after("slow-db over"))
    course(subject, 41)
    assert subject.finish()[1].detail == "the run ended before its condition came: slow-db over"
    subject = conductor({**SLOW, "when": "steady for 10s", "for": "5s"})
    assert subject.finish()[0].detail == "the run ended before its condition came: steady for 10s"


def test_a_fault_that_comes_anyway_is_not_skipped() -> None:
    assert course(conductor(slow()), 60, UNSTEADY)[-1][1] == "skip"
    assert course(conductor(slow() | {"anyway": True}), 60, UNSTEADY)[-1][1] == "revert"


def test_what_ends_makes_room_for_what_begins_at_the_same_instant() -> None:
    again = {**SLOW, "name": "again", "at": "55s", "for": "5s"}
    subject = conductor(again, slow())
    course(subject, 54)
    assert [(a.do, a.fault) for a in subject.tick(55.0, STEADY)] == [
        ("revert", "slow-db"),
        ("inject", "again"),
    ]


def test_the_baseline_is_not_looked_at_for_faults_that_wait_for_faults() -> None:
    subject = conductor(slow(), after("slow-db over"))
    assert not subject.wants_baseline(20.0)
    assert subject.wants_baseline(38.0)
