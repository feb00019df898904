from __future__ import annotations

from dataclasses import replace
from random import Random

from chaos_locust.judge.layout import plan_layout
from chaos_locust.judge.live import abort_met, baseline_state, steady_now
from chaos_locust.judge.verdict import Outcome
from chaos_locust.measure.window import Window
from tests.simulation.kinds import latency_fault, plan_of
from tests.simulation.world import World, fail, fault_events, slow

FAULT = [latency_fault(45, 15)]


def test_steady_before_not_during_and_again_after() -> None:
    plan = plan_of(30, 100, ["p99 < 100ms during baseline"], faults=FAULT)
    world = World(Random(1), 30, 100)
    world.spoil(45, 62, slow(0.4))
    recording = world.recording(plan, fault_events("slow-db", 45, 60))
    steady = [
        steady_now(plan, replace(recording, events=_until(recording, s)), s) for s in (30, 44, 50, 60, 68)
    ]
    assert steady == [True, True, False, False, True]


def test_the_baseline_is_known_when_long_enough_and_at_once_when_it_deviates() -> None:
    plan = plan_of(30, 100, ["p95 < 100ms during baseline"], faults=FAULT)
    healthy = World(Random(1), 30, 100).recording(plan)
    started = replace(healthy, events=healthy.events[:1])
    assert baseline_state(plan, started, 5)[0] is None
    assert baseline_state(plan, started, 30)[0] is None
    assert baseline_state(plan, started, 42)[0] is Outcome.UPHELD
    sick = World(Random(1), 30, 100)
    sick.spoil(0, 100, slow(0.2))
    assert (
        baseline_state(plan, replace(sick.recording(plan), events=healthy.events[:1]), 30)[0]
        is Outcome.DEVIATED
    )


def test_an_abort_condition_is_met_when_it_held_for_its_time() -> None:
    plan = plan_of(30, 100, ["p99 < 1s during run"], abort=["error_rate > 60% for 5s"])
    world = World(Random(1), 30, 100)
    world.spoil(50, 100, fail())
    windows = world.windows(plan)
    assert abort_met(plan, windows, 50) is None
    assert abort_met(plan, windows, 52) is None
    assert abort_met(plan, windows, 55) == "error_rate > 60% for 5s"


def test_one_failed_request_aborts_nothing() -> None:
    plan = plan_of(30, 100, ["p99 < 1s during run"], abort=["error_rate > 60% for 5s"])
    window = Window(plan_layout(plan))
    window.send(3.0)
    window.answer(3.0, 0, 1000, "HTTP 500")
    assert abort_met(plan, {(3, "GET /"): window}, 8) is None


def test_a_request_in_flight_for_longer_than_the_bound_is_slow_already() -> None:
    plan = plan_of(30, 100, ["p99 < 1s during run"], abort=["p50 > 2s for 5s"])
    windows = {}
    for second in range(20):
        windows[second, "GET /"] = window = Window(plan_layout(plan))
        for tenth in range(30):
            window.send(second + tenth / 30)
    assert abort_met(plan, windows, 5) is None
    assert abort_met(plan, {key: w for key, w in windows.items() if key[0] < 10}, 12) == "p50 > 2s for 5s"


def _until(recording, now_s: float):  # type: ignore[no-untyped-def]
    return tuple(event for event in recording.events if event.t_s <= now_s)
