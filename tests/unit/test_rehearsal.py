"""Whole plans rehearsed in memory: conductor, live view, windows and judge together."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.errors import InvalidPlan
from chaos_locust.judge.verdict import Outcome
from chaos_locust.plan.model import Plan
from chaos_locust.testing import Answer, FakeClock, MemoryBackend, run_plan

FAST = Answer(0.02)
SLOW_DB = {
    "name": "slow-db",
    "kind": "latency",
    "target": "db",
    "latency": "200ms",
    "at": "20s",
    "for": "10s",
}
OBJECTIVES = [
    "p99 < 100ms during baseline",
    "error_rate < 5% during slow-db",
    "recovery < 5s after slow-db ends",
]


def plan(**changes: Any) -> Plan:
    return Plan(
        **{
            "name": "the shop survives a slow database",
            "host": "http://127.0.0.1:1",
            "targets": {"db": {"proxy": "db"}},
            "load": [{"step": "base", "rate": "50/s", "for": "60s"}],
            "warm_up": "2s",
            "baseline": "15s",
            "timeout": "2s",
            "faults": [SLOW_DB],
            "steady_state": ["error_rate < 1%", "p95 < 100ms"],
            "objectives": OBJECTIVES,
            **changes,
        }
    )


def healthy(t_s: float, faults: tuple[str, ...]) -> Answer:
    return Answer(0.22) if "slow-db" in faults else FAST


def broken_under_fault(t_s: float, faults: tuple[str, ...]) -> Answer:
    return (
        Answer(0.01, "HTTP 503") if "slow-db" in faults and int(t_s * 50) % 5 == 0 else healthy(t_s, faults)
    )


def test_a_target_that_holds_is_upheld() -> None:
    verdict = run_plan(plan(), healthy)
    assert (verdict.outcome, verdict.exit_code) == (Outcome.UPHELD, 0)
    assert verdict.totals.sent == 3000
    assert [fault.state for fault in verdict.faults] == ["reverted"]


def test_a_target_that_fails_under_the_fault_deviates_and_only_then() -> None:
    verdict = run_plan(plan(), broken_under_fault)
    assert verdict.exit_code == 3
    assert [f.text for f in verdict.findings if f.outcome is Outcome.DEVIATED] == [
        "error_rate < 5% during slow-db"
    ]
    assert run_plan(plan(faults=[], objectives=OBJECTIVES[:1]), broken_under_fault).exit_code == 0


def test_a_target_that_never_recovers_deviates() -> None:
    verdict = run_plan(plan(), lambda t_s, faults: Answer(0.5) if t_s >= 20 else FAST)
    assert verdict.exit_code == 3
    assert any(f.text == OBJECTIVES[2] and f.outcome is Outcome.DEVIATED for f in verdict.findings)


def test_a_fault_that_was_not_seen_to_act_proves_nothing() -> None:
    verdict = run_plan(plan(), healthy, MemoryBackend(unseen=frozenset({"slow-db"})))
    assert verdict.exit_code == 4


def test_nothing_is_injected_when_the_baseline_deviates() -> None:
    backend = MemoryBackend()
    verdict = run_plan(plan(), lambda t_s, faults: Answer(0.3), backend)
    assert verdict.exit_code == 3
    assert verdict.faults[0].active_s is None
    assert verdict.end_reason == "baseline_deviated"


def test_an_abort_condition_ends_the_run_and_undoes_the_fault() -> None:
    backend = MemoryBackend()
    dead = plan(abort=["error_rate > 60% for 3s"])
    verdict = run_plan(dead, lambda t_s, faults: Answer(0.01, "HTTP 500") if faults else FAST, backend)
    assert verdict.exit_code == 3
    assert verdict.duration_s < 30
    assert backend.active == {}


def test_a_fault_may_wait_for_a_steady_target() -> None:
    fault = {key: value for key, value in SLOW_DB.items() if key != "at"} | {"when": "steady for 12s"}
    verdict = run_plan(plan(faults=[fault]), healthy)
    assert verdict.exit_code == 0
    active_s = verdict.faults[0].active_s
    assert active_s is not None
    assert active_s >= 17.0


CASCADE = {
    "name": "both",
    "at": "20s",
    "then": "active for 2s",
    "for": "6s",
    "steps": [{"target": "db", "kind": "down"}, {"target": "cache", "kind": "down"}],
}


def in_the_dark(t_s: float, faults: tuple[str, ...]) -> Answer:
    return Answer(0.01, "HTTP 503") if faults else FAST


def cascade(**changes: Any) -> Plan:
    targets = {"db": {"proxy": "db"}, "cache": {"proxy": "cache"}}
    objectives = ["error_rate > 90% during both-1 and both-2", "recovery < 5s after both-2 ends"]
    given = {"faults": [], "targets": targets, "objectives": objectives, "cascade": CASCADE}
    return plan(**given | changes)


def test_a_cascade_goes_on_in_a_target_that_it_has_broken() -> None:
    verdict = run_plan(cascade(), in_the_dark)
    assert verdict.exit_code == 0, verdict.findings
    first, second = verdict.faults
    assert (first.asked_s, first.revert_asked_s) == (pytest.approx(20, abs=0.1), pytest.approx(26, abs=0.1))
    assert (second.asked_s, second.revert_asked_s) == (pytest.approx(22, abs=0.1), pytest.approx(28, abs=0.1))


def test_a_step_that_never_came_is_told_and_nothing_is_upheld() -> None:
    waits = {**CASCADE, "then": "recovered"}
    verdict = run_plan(cascade(cascade=waits), lambda t_s, faults: Answer(0.01, "E") if t_s > 20 else FAST)
    assert verdict.exit_code == 4
    assert verdict.faults[1].state == "skipped"
    (told,) = [finding for finding in verdict.findings if finding.text == "the effect of both-2 was seen"]
    assert "both-2 was not injected: " in told.reason
    assert "recovered after both-1" in told.reason
    assert all(finding.not_run for finding in verdict.findings if "both-2" in finding.text)


def test_random_faults_are_the_same_in_every_rehearsal() -> None:
    drawn = {"seed": 3, "count": 3, "between": ["20s", "50s"], "for": ["2s", "4s"]}
    drawn["faults"] = [{"kind": "down", "target": "db"}]
    objectives = ["error_rate > 10% during run"]
    made = plan(faults=[], random=drawn, objectives=objectives)
    one, other = run_plan(made, in_the_dark), run_plan(Plan.from_json(made.to_json()), in_the_dark)
    assert one.exit_code == 0, one.findings
    assert [fault.state for fault in one.faults] == ["reverted"] * 3
    assert [fault.asked_s for fault in one.faults] == [fault.asked_s for fault in other.faults]


def test_a_stress_load_ends_where_it_breaks_and_tells_the_level_that_held() -> None:
    load = {"stress": {"from": "50/s", "to": "500/s", "step": "50/s", "every": "10s", "at_least": "100/s"}}
    climb = plan(load=load, faults=[], objectives=["p95 < 250ms during run"], steady_state=[])
    verdict = run_plan(climb, lambda t_s, faults: FAST if t_s < 40 else Answer(0.5))
    assert (verdict.exit_code, verdict.stress_level) == (0, 200.0)
    assert verdict.duration_s < 60
    weak = run_plan(climb, lambda t_s, faults: FAST if t_s < 10 else Answer(0.5))
    assert weak.exit_code == 3


def test_a_rehearsal_needs_rates() -> None:
    users = [{"step": "base", "users": 10, "for": "60s"}]
    with pytest.raises(InvalidPlan, match="rehearsal"):
        run_plan(plan(load=users, faults=[], objectives=["error_rate < 1% during run"]), healthy)


def test_a_clock_goes_forward_only() -> None:
    clock = FakeClock()
    clock.advance(1.5)
    assert clock() == 1.5
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)
