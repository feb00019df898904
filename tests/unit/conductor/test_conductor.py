"""The conductor decides from times and conditions alone: every case is told by a fake clock."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.conductor import MAX_WAIT_S, OBSERVE_AHEAD_S, Action, Conductor, View
from chaos_locust.events import FaultEvent
from chaos_locust.judge.verdict import Outcome
from chaos_locust.plan.model import Plan

STEADY = View(steady=True, steady_for_s=20.0, baseline=Outcome.UPHELD)


def conductor(*faults: dict[str, Any], for_s: float = 120.0) -> Conductor:
    plan = Plan(
        name="a plan",
        host="http://127.0.0.1:1",
        targets={"db": {"proxy": "db"}, "cache": {"proxy": "cache"}, "pay": {"pidfile": "pay.pid"}},
        load=[{"step": "base", "rate": "50/s", "for": f"{for_s:g}s"}],
        faults=list(faults),
    )
    return Conductor(plan, for_s)


def slow(name: str = "slow-db", target: str = "db", at: str = "40s", lasts: str = "15s") -> dict[str, Any]:
    return {"name": name, "kind": "latency", "target": target, "latency": "200ms", "at": at, "for": lasts}


def run(
    subject: Conductor, until_s: float, view: View = STEADY, tick_s: float = 0.05
) -> list[tuple[float, Action]]:
    """Ticks from 0; every injection is confirmed 10 ms later, every reversal too."""
    done: list[tuple[float, Action]] = []
    for index in range(round(until_s / tick_s) + 1):
        now_s = index * tick_s
        for action in subject.tick(now_s, view):
            done.append((now_s, action))
            if action.do == "inject":
                subject.note(FaultEvent(now_s + 0.01, action.fault, "active"))
            if action.do == "revert":
                subject.note(FaultEvent(now_s + 0.01, action.fault, "reverted"))
    return done


def test_a_fault_is_watched_injected_and_reverted_at_its_times() -> None:
    done = run(conductor(slow()), 60)
    assert [(pytest.approx(t_s), action.do) for t_s, action in done] == [
        (40 - OBSERVE_AHEAD_S, "observe"),
        (40.0, "inject"),
        (55.0, "revert"),
    ]
    assert done[1][1].lease_s > 15.0


def test_a_late_tick_still_does_everything_that_was_due() -> None:
    subject = conductor(slow())
    assert [action.do for action in subject.tick(41.0, STEADY)] == ["observe", "inject"]
    assert [action.do for action in subject.tick(90.0, STEADY)] == ["revert"]


def test_each_action_is_returned_once() -> None:
    subject = conductor(slow())
    subject.tick(40.0, STEADY)
    assert subject.tick(40.0, STEADY) == []
    assert subject.tick(41.0, STEADY) == []


def test_it_wakes_at_the_next_due_moment_and_often_enough_for_conditions() -> None:
    subject = conductor(slow(at="40.01s"))
    assert subject.next_due_s(40.0) == pytest.approx(40.01)
    assert subject.next_due_s(10.0) == pytest.approx(10.0 + MAX_WAIT_S)


def test_a_deviating_baseline_ends_the_run_before_anything_is_injected() -> None:
    done = run(conductor(slow(), slow("slow-cache", "cache", "60s")), 70, View(baseline=Outcome.DEVIATED))
    assert [action.do for _, action in done] == ["observe", "skip", "skip", "end"]
    assert done[-1][1].reason == "baseline_deviated"


def test_a_baseline_that_deviates_later_does_not_undo_the_decision() -> None:
    subject = conductor(slow(), slow("slow-cache", "cache", "60s"))
    run(subject, 59)
    assert [action.do for action in subject.tick(60.0, View(steady=True, baseline=Outcome.DEVIATED))] == [
        "inject"
    ]


def test_nothing_is_injected_into_an_unsteady_target() -> None:
    done = run(conductor(slow()), 60, View(steady=False, baseline=Outcome.UPHELD))
    assert [action.do for _, action in done] == ["observe", "skip"]


def test_a_second_fault_may_join_one_that_makes_the_target_unsteady() -> None:
    subject = conductor(slow(), slow("slow-cache", "cache", "45s"))
    for action in subject.tick(40.0, STEADY):
        if action.do == "inject":
            subject.note(FaultEvent(40.0, action.fault, "active"))
    unsteady = View(steady=False, baseline=Outcome.UPHELD)
    assert [action.do for action in subject.tick(45.0, unsteady)] == ["inject"]
    assert subject.active == ("slow-db", "slow-cache")


def test_a_condition_waits_for_the_target_to_be_steady_long_enough() -> None:
    fault = slow() | {"at": None, "when": "steady for 10s"}
    subject = conductor({key: value for key, value in fault.items() if value is not None})
    assert [a.do for a in subject.tick(20.0, View(True, 9.0, Outcome.UPHELD))] == ["observe"]
    assert subject.tick(21.0, View(False, 0.0, Outcome.UPHELD)) == []
    assert [a.do for a in subject.tick(33.0, View(True, 10.0, Outcome.UPHELD))] == ["inject"]
    subject.note(FaultEvent(33.0, "slow-db", "active"))
    assert [a.do for a in subject.tick(48.0, STEADY)] == ["revert"]


def test_a_condition_that_comes_too_late_to_fit_is_not_used() -> None:
    fault = {key: value for key, value in slow().items() if key != "at"} | {"when": "steady for 10s"}
    subject = conductor(fault, for_s=120)
    assert [a.do for a in subject.tick(106.0, STEADY)] == ["observe"]
    assert [a.do for a in subject.finish()] == ["skip"]


def test_an_abort_condition_ends_the_run_and_reverts_what_acts() -> None:
    subject = conductor(slow(), slow("later", "cache", "80s"))
    run(subject, 45)
    done = subject.tick(45.1, View(steady=False, baseline=Outcome.UPHELD, abort="error_rate > 60% for 5s"))
    assert [(action.do, action.fault) for action in done] == [
        ("revert", "slow-db"),
        ("skip", "later"),
        ("end", ""),
    ]
    assert subject.tick(46.0, STEADY) == []


def test_finishing_reverts_what_acts_once() -> None:
    subject = conductor(slow())
    run(subject, 45)
    assert [action.do for action in subject.finish()] == ["revert"]
    assert subject.finish() == []


def test_an_instant_fault_needs_no_reversal() -> None:
    kill = {"name": "kill-pay", "kind": "kill", "target": "pay", "at": "40s"}
    subject = conductor(kill)
    done = run(subject, 60)
    assert [action.do for _, action in done] == ["observe", "inject"]
    assert subject.all_over
    assert subject.finish() == []


def test_a_fault_that_failed_is_neither_reverted_nor_active() -> None:
    subject = conductor(slow())
    subject.tick(40.0, STEADY)
    subject.note(FaultEvent(40.1, "slow-db", "failed", "the proxy does not answer"))
    assert subject.active == ()
    assert subject.tick(56.0, STEADY) == []


def test_the_baseline_is_wanted_shortly_before_the_first_onset_only() -> None:
    subject = conductor(slow())
    assert not subject.wants_baseline(20.0)
    assert subject.wants_baseline(38.0)
    subject.tick(40.0, STEADY)
    assert not subject.wants_baseline(40.1)
