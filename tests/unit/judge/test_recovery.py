from __future__ import annotations

from random import Random
from typing import Any

import pytest

from chaos_locust.judge.judge import judge
from chaos_locust.judge.verdict import Finding, Outcome
from tests.simulation.kinds import STEADY, latency_fault, plan_of
from tests.simulation.world import World, fail, fault_events, slow

UPHELD, DEVIATED, INCONCLUSIVE = Outcome.UPHELD, Outcome.DEVIATED, Outcome.INCONCLUSIVE
FAULT = [latency_fault(40, 15)]


def recovery(world: World, text: str = "recovery < 5s after slow-db ends", **plan: Any) -> Finding:
    made = plan_of(30, world.duration_s, [text], **{"faults": FAULT, **plan})
    verdict = judge(made, world.recording(made, fault_events("slow-db", 40, 55)))
    return next(f for f in verdict.findings if f.text == text)


def sick(until_s: float, seconds: float = 100) -> World:
    world = World(Random(2), 30, seconds)
    world.spoil(40, until_s, fail(), 0.8)
    return world


@pytest.mark.parametrize("steady_state", [[], STEADY])
@pytest.mark.parametrize("took_s", [0.0, 0.4, 1.3, 3.0, 7.9, 20.2])
def test_the_interval_holds_the_truth_within_three_seconds(took_s: float, steady_state: list[str]) -> None:
    finding = recovery(sick(55 + took_s), steady_state=steady_state)
    assert finding.interval is not None
    low, high = finding.interval
    assert low <= took_s <= high <= low + 3


def test_below_above_and_across_the_bound() -> None:
    assert recovery(sick(57)).outcome is UPHELD
    assert recovery(sick(63)).outcome is DEVIATED
    assert recovery(sick(60)).outcome is INCONCLUSIVE


def test_a_relapse_counts_as_not_recovered() -> None:
    world = sick(56)
    world.spoil(85, 88, slow(0.5))
    finding = recovery(world)
    assert finding.outcome is DEVIATED
    assert "bad again" in finding.reason


def test_what_the_next_fault_does_is_no_relapse() -> None:
    world = sick(56, 120)
    world.spoil(85, 120, fail())
    faults = [*FAULT, latency_fault(85, 20, "again")]
    plan = plan_of(30, 120, ["recovery < 5s after slow-db ends"], faults=faults)
    events = [*fault_events("slow-db", 40, 55), *fault_events("again", 85, 105)]
    verdict = judge(plan, world.recording(plan, events))
    assert next(f for f in verdict.findings if f.text.startswith("recovery")).outcome is UPHELD


def test_cut_off_below_the_bound_is_open_and_above_it_is_decided() -> None:
    assert recovery(sick(56, 63)).outcome is INCONCLUSIVE
    assert recovery(sick(75, 75)).outcome is DEVIATED


def test_never_recovered() -> None:
    finding = recovery(sick(100))
    assert finding.outcome is DEVIATED
    assert finding.interval is not None
    assert finding.interval[1] == float("inf")


def test_five_percent_failing_for_good_is_no_recovery() -> None:
    world = sick(55)
    world.spoil(55, 100, fail(), 0.06)
    assert recovery(world).outcome is DEVIATED


def test_after_it_starts_counts_from_the_onset() -> None:
    finding = recovery(sick(58), "recovery < 30s after slow-db starts")
    assert finding.outcome is UPHELD
    assert finding.interval is not None
    assert finding.interval[0] <= 18 <= finding.interval[1]
    assert recovery(sick(58), "recovery < 15s after slow-db starts").outcome is DEVIATED


def test_without_a_baseline_the_default_steady_state_is_not_known() -> None:
    world = World(Random(1), 30, 60)
    plan = plan_of(30, 60, ["recovery < 5s after slow-db ends"], faults=[latency_fault(5, 10)])
    verdict = judge(plan, world.recording(plan, fault_events("slow-db", 5, 15)))
    assert verdict.findings[0].outcome is INCONCLUSIVE
    assert "baseline" in verdict.findings[0].reason


def test_the_plans_steady_state_is_judged_on_the_baseline_too() -> None:
    world = World(Random(1), 30, 100)
    world.spoil(0, 40, slow(0.2))
    plan = plan_of(30, 100, ["error_rate < 50% during slow-db"], steady_state=STEADY, faults=FAULT)
    verdict = judge(plan, world.recording(plan, fault_events("slow-db", 40, 55)))
    assert verdict.exit_code == 3
    assert verdict.findings[0].source == "steady_state"
