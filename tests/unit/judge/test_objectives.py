from __future__ import annotations

from random import Random
from typing import Any

import pytest

from chaos_locust.events import EffectSeen, FaultEvent, ProbeRead, WorkerEvent
from chaos_locust.judge.judge import judge
from chaos_locust.judge.verdict import Finding, Outcome, Verdict
from tests.simulation.kinds import kill_fault, latency_fault, plan_of
from tests.simulation.world import World, fail, fated, fault_events, late, slow

UPHELD, DEVIATED, INCONCLUSIVE = Outcome.UPHELD, Outcome.DEVIATED, Outcome.INCONCLUSIVE


def healthy(seconds: float = 60, rate: float = 30) -> World:
    return World(Random(1), rate, seconds)


def verdict_of(
    world: World, objectives: list[Any], events: Any = (), reason: str = "finished", **plan: Any
) -> Verdict:
    made = plan_of(30, plan.pop("seconds", world.duration_s), objectives, **plan)
    return judge(made, world.recording(made, events, reason))


def first(verdict: Verdict, text: str) -> Finding:
    return next(f for f in verdict.findings if f.text.startswith(text))


@pytest.mark.parametrize(
    "objective",
    [
        "p50 < 30ms during run",
        "p99 <= 80ms during run",
        "p95(ok) < 80ms during run",
        "mean < 40ms during run",
        "max < 100ms during run",
        "error_rate <= 0% during run",
        "availability >= 99% during run",
        "dropped < 1% during run",
        "throughput >= 25/s during run",
        "throughput >= 99% of offered during run",
        "outage < 1s during run",
        'p95 of "POST /orders" < 80ms during run',
        "p95 of each request < 80ms during run",
        "p95 > 5ms during run",
        "error_rate < 20% in every 5s during run",
    ],
)
def test_every_measure_holds_on_a_healthy_run(objective: str) -> None:
    world = healthy(120)
    verdict = verdict_of(world, [objective])
    assert (verdict.outcome, verdict.exit_code) == (UPHELD, 0)


@pytest.mark.parametrize(
    "objective",
    [
        "p50 < 100ms during run",
        "p95(ok) < 100ms during run",
        "mean < 40ms during run",
        "mean(ok) < 40ms during run",
        "max < 100ms during run",
        "error_rate < 10% during run",
        "availability >= 99% during run",
        "throughput >= 25/s during run",
        "throughput >= 99% of offered during run",
        'p95 of "POST /orders" < 80ms during run',
        "p50 < 10ms during run",
        "p95 > 5s during base and run",
        "error_rate > 90% during run",
        "error_rate < 20% in every 5s during run",
    ],
)
def test_every_measure_deviates_on_a_sick_run(objective: str) -> None:
    world = healthy(120)
    world.spoil(0, 120, slow(0.3))
    world.spoil(0, 120, fail(), 0.6)
    if objective.startswith("p95 > 5s"):
        world = healthy(120)
    verdict = verdict_of(world, [objective])
    assert (verdict.outcome, verdict.exit_code) == (DEVIATED, 3)


def test_a_bound_is_exact_to_the_request() -> None:
    """1200 of them are judged, 12 slow ones are allowed by p99, 13 are not."""
    for slow_ones, outcome in ((12, UPHELD), (13, DEVIATED)):
        world = healthy(50)
        for request in world.requests:
            request.service_s, request.lateness_s = 0.0999, 0.0
        for request in world.between(10, 50)[:slow_ones]:
            request.service_s = 0.1
        assert len(world.between(10, 50)) == 1200
        assert verdict_of(world, ["p99 < 100ms during run"]).outcome is outcome


def test_equal_is_not_below_but_at_most() -> None:
    world = healthy(50)
    for request in world.requests:
        request.service_s, request.lateness_s = 0.1, 0.0
    assert verdict_of(world, ["p99 < 100ms during run"]).outcome is DEVIATED
    assert verdict_of(world, ["p99 <= 100ms during run"]).outcome is UPHELD
    assert verdict_of(world, ["p99 >= 100ms during run"]).outcome is UPHELD
    assert verdict_of(world, ["p99 > 100ms during run"]).outcome is DEVIATED


def test_failures_rank_as_infinitely_slow_and_quick_refusals_do_not_flatter() -> None:
    world = healthy(60)
    world.spoil(0, 60, fail("connection refused", 0.001), 0.1)
    finding = first(verdict_of(world, ["p95 < 1s during run"]), "p95")
    assert finding.outcome is DEVIATED
    assert finding.value == float("inf")
    assert verdict_of(world, ["p95(ok) < 1s during run"]).outcome is UPHELD


def test_the_sample_floor_decides_what_can_be_said() -> None:
    plan = plan_of(1, 69, ["p95 < 100ms during run"])
    few = World(Random(1), 1, 68.5)
    assert judge(plan, few.recording(plan)).outcome is INCONCLUSIVE
    enough = World(Random(1), 1, 70)
    plan = plan_of(1, 70, ["p95 < 100ms during run"])
    assert judge(plan, enough.recording(plan)).outcome is UPHELD


def test_a_request_that_never_happened_is_named() -> None:
    finding = verdict_of(healthy(), ['p95 of "GET /nothing" < 80ms during run']).findings[0]
    assert finding.outcome is INCONCLUSIVE
    assert "GET /nothing" in finding.reason


def test_each_request_has_a_finding_of_its_own() -> None:
    world = healthy()
    for request in world.between(0, 60, "POST /orders"):
        request.service_s += 0.3
    findings = verdict_of(world, ["p95 of each request < 100ms during run"]).findings
    assert [(f.subject, f.outcome) for f in findings[:2]] == [
        ("POST /orders", DEVIATED),
        ("GET /products", UPHELD),
    ]


def test_a_warning_never_changes_the_exit_code() -> None:
    world = healthy()
    world.spoil(0, 60, fail())
    warn = {"expect": "error_rate < 1% during run", "severity": "warn"}
    verdict = verdict_of(world, [warn, "dropped < 5% during run"])
    assert verdict.exit_code == 0
    assert first(verdict, "error_rate").outcome is DEVIATED


def test_nothing_demanded_is_nothing_upheld() -> None:
    assert verdict_of(healthy(), []).exit_code == 4


def test_no_request_at_all_is_inconclusive() -> None:
    world = healthy()
    world.requests.clear()
    assert verdict_of(world, ["error_rate < 1% during run"]).exit_code == 4


def test_the_warm_up_is_not_judged_and_the_plan_may_set_it() -> None:
    world = healthy()
    world.spoil(0, 10, fail())
    assert verdict_of(world, ["error_rate < 1% during run"]).outcome is UPHELD
    assert verdict_of(world, ["error_rate < 1% during run"], warm_up="0s").outcome is DEVIATED


def test_no_comparison_with_a_baseline_at_another_level() -> None:
    load = [{"step": "base", "rate": "30/s", "for": "60s"}, {"step": "peak", "rate": "60/s", "for": "30s"}]
    world = healthy(60)
    for i in range(60 * 30):
        world.add(60 + i / 60)
    world.duration_s = 90
    finding = verdict_of(world, ["p95 < 3x baseline during peak"], load=load).findings[0]
    assert finding.outcome is INCONCLUSIVE
    assert "level" in finding.reason


# -- faults -----------------------------------------------------------------------------------------------

FAULT = [latency_fault(40, 15)]


def test_the_guard_leaves_out_what_can_have_met_the_fault_and_says_how_many() -> None:
    world = healthy(100)
    world.spoil(39.95, 55, slow(0.3))
    verdict = verdict_of(
        world, ["p99 < 100ms during baseline"], fault_events("slow-db", 40, 55), faults=FAULT
    )
    assert verdict.outcome is UPHELD
    assert "left out" in first(verdict, "p99").reason
    assert next(p.left_out for p in verdict.phases if p.kind == "baseline") == 30


def test_transitions_are_not_judged() -> None:
    world = healthy(100)
    world.spoil(40, 43, fail())
    events = [
        FaultEvent(40, "slow-db", "asked"),
        FaultEvent(43, "slow-db", "active"),
        EffectSeen(44, "slow-db", True, True, "seen"),
        FaultEvent(55, "slow-db", "revert_asked"),
        FaultEvent(58, "slow-db", "reverted"),
    ]
    assert verdict_of(world, ["error_rate < 1% during slow-db"], events, faults=FAULT).outcome is UPHELD


@pytest.mark.parametrize("seen", [(False, True), (True, False), (None, True), (True, None)])
def test_without_a_seen_effect_nothing_about_the_fault_is_decided(
    seen: tuple[bool | None, bool | None],
) -> None:
    for share in (0.0, 1.0):
        world = healthy(100)
        world.spoil(40, 55, fail(), share)
        events = fault_events("slow-db", 40, 55, seen)
        objectives = ["error_rate < 10% during slow-db", "recovery < 5s after slow-db ends"]
        verdict = verdict_of(world, objectives, events, faults=FAULT)
        assert {f.outcome for f in verdict.findings} == {INCONCLUSIVE}
        assert verdict.exit_code == 4


def test_a_deviation_that_does_not_depend_on_an_unseen_fault_stays() -> None:
    world = healthy(100)
    world.spoil(0, 40, fail(), 0.5)
    events = fault_events("slow-db", 40, 55, (False, False))
    assert verdict_of(world, ["error_rate < 5% during baseline"], events, faults=FAULT).exit_code == 3


def test_after_a_deviating_baseline_the_rest_reads_not_run() -> None:
    world = healthy(41)
    world.spoil(0, 41, fail(), 0.5)
    events = [FaultEvent(40, "slow-db", "skipped", "the baseline deviated")]
    objectives = ["error_rate < 5% during baseline", "error_rate < 5% during slow-db", "p95 < 1s during run"]
    verdict = verdict_of(world, objectives, events, "baseline_deviated", seconds=100, faults=FAULT)
    assert verdict.exit_code == 3
    assert [f.not_run for f in verdict.findings if f.source == "objective"] == [False, True, True]


def test_a_kill_lasts_to_the_next_onset() -> None:
    faults = [kill_fault(40), latency_fault(80, 10)]
    world = healthy(120)
    world.spoil(80, 90, fail())
    events = [*fault_events("kill", 40, None), *fault_events("slow-db", 80, 90)]
    verdict = verdict_of(world, ["error_rate < 1% during kill"], events, faults=faults)
    assert verdict.outcome is UPHELD
    assert [(p.starts_s, p.ends_s) for p in verdict.phases if p.label == "kill"] == [(40.02, 80)]


@pytest.mark.parametrize(("lasts_s", "outcome"), [(4.0, UPHELD), (6.05, INCONCLUSIVE), (8.0, DEVIATED)])
def test_an_outage_is_known_to_a_tenth(lasts_s: float, outcome: Outcome) -> None:
    world = World(Random(1), 50, 90)
    world.spoil(45.03, 45.03 + lasts_s, fail())
    load = [{"step": "base", "rate": "50/s", "for": "90s"}]
    events = fault_events("kill", 42, None)
    verdict = verdict_of(world, ["outage < 6.1s during kill"], events, faults=[kill_fault(42)], load=load)
    finding = first(verdict, "outage")
    assert finding.outcome is outcome
    assert finding.interval is not None
    assert finding.interval[0] - 0.03 <= lasts_s <= finding.interval[1]


def test_an_outage_that_outlives_its_phase_is_not_called_short() -> None:
    world = healthy(100)
    world.spoil(53, 75, fail())
    events = fault_events("slow-db", 40, 55)
    finding = first(verdict_of(world, ["outage < 10s during slow-db"], events, faults=FAULT), "outage")
    assert finding.outcome is INCONCLUSIVE


def test_probes_have_to_comply_at_every_reading() -> None:
    for worst, ok, outcome in ((5, True, UPHELD), (50, True, DEVIATED), (5, False, INCONCLUSIVE)):
        readings = [ProbeRead(float(i), "restarts(web)", 0.0, True) for i in range(100)]
        readings[30] = ProbeRead(30.0, "restarts(web)", float(worst) if ok else None, ok)
        verdict = verdict_of(healthy(), ["restarts(web) < 10 during run"], readings)
        assert verdict.findings[0].outcome is outcome


def test_what_a_probe_did_not_look_at_is_not_upheld() -> None:
    readings = [ProbeRead(float(i), "restarts(web)", 0.0, True) for i in range(100) if not 40 < i < 45]
    (finding,) = verdict_of(healthy(), ["restarts(web) < 10 during run"], readings).findings
    assert (finding.outcome, "nothing was read for 5" in finding.reason) == (INCONCLUSIVE, True)
    worse = [*readings, ProbeRead(50.5, "restarts(web)", 11.0, True)]
    (finding,) = verdict_of(healthy(), ["restarts(web) < 10 during run"], worse).findings
    assert finding.outcome is DEVIATED


# -- trust and ends ---------------------------------------------------------------------------------------


def test_nothing_is_better_than_inconclusive_when_a_worker_was_lost() -> None:
    event = [WorkerEvent(30, "w2", "lost", "no heartbeat")]
    verdict = verdict_of(healthy(), ["error_rate < 1% during run"], event)
    assert verdict.exit_code == 4
    assert "w2" in verdict.trust.reasons[0]


def test_a_slow_generator_excuses_latency_but_not_the_targets_own_errors() -> None:
    world = healthy()
    world.spoil(0, 60, late(0.2), 0.3)
    assert verdict_of(world, ["p95 < 100ms during run"]).exit_code == 4
    world.spoil(0, 60, fail("timeout", 10), 0.3)
    assert verdict_of(world, ["p95 < 100ms during run"]).exit_code == 4
    world.spoil(0, 60, fail("HTTP 500"), 0.3)
    assert verdict_of(world, ["p95 < 100ms during run"]).exit_code == 3


def test_dropped_arrivals_excuse_only_themselves() -> None:
    world = healthy()
    world.spoil(0, 60, fated("dropped"), 0.2)
    assert verdict_of(world, ["error_rate < 5% during run"]).exit_code == 4
    world.spoil(0, 60, fail("timeout", 10), 0.2)
    assert verdict_of(world, ["error_rate < 5% during run"]).exit_code == 3


def test_the_generator_may_be_late_up_to_a_tenth_of_the_tightest_bound() -> None:
    world = healthy()
    world.spoil(0, 60, late(0.009), 0.5)
    assert verdict_of(world, ["p95 < 100ms during run"]).exit_code == 0
    assert verdict_of(world, ["p95 < 90ms during run"]).exit_code == 4


@pytest.mark.parametrize(
    ("reason", "exit_code"),
    [
        ("finished", 0),
        ("aborted", 3),
        ("interrupted", 4),
        ("workers_lost", 4),
        ("guardian_lost", 4),
        ("crashed", 1),
    ],
)
def test_how_a_run_ends_counts(reason: str, exit_code: int) -> None:
    assert verdict_of(healthy(), ["error_rate < 1% during run"], reason=reason).exit_code == exit_code


def test_dirty_outranks_everything() -> None:
    world = healthy(100)
    world.spoil(0, 100, fail())
    events = [*fault_events("slow-db", 40, 55), FaultEvent(60, "slow-db", "dirty", "the proxy is gone")]
    verdict = verdict_of(world, ["error_rate < 1% during run"], events, "crashed", faults=FAULT)
    assert verdict.exit_code == 5
    assert verdict.sentence.startswith("DEVIATED: the target was left changed")


def test_the_last_word_on_a_fault_counts() -> None:
    events = [
        *fault_events("slow-db", 40, 55)[:-1],
        FaultEvent(60, "slow-db", "dirty"),
        FaultEvent(65, "slow-db", "reverted"),
    ]
    assert verdict_of(healthy(100), ["error_rate < 1% during run"], events, faults=FAULT).exit_code == 0


def test_companions_count() -> None:
    plan = plan_of(30, 60, ["error_rate < 1% during run"])
    found = Finding("invariants", "no order is lost", DEVIATED, "3 orders are missing")
    verdict = judge(plan, healthy().recording(plan), [found])
    assert verdict.exit_code == 3
    assert verdict.findings[0] is found


def test_the_sentence_tells_the_worst() -> None:
    world = healthy(100)
    world.spoil(40, 58.5, fail(), 0.5)
    objectives = ['error_rate of "POST /orders" < 10% during slow-db', "recovery < 9s after slow-db ends"]
    verdict = verdict_of(world, objectives, fault_events("slow-db", 40, 55), faults=FAULT)
    assert verdict.sentence.startswith("DEVIATED: with latency on postgres, ")
    assert "of POST /orders failed (allowed 10 %); recovered 1.9-4.0 s after" in verdict.sentence


def test_the_accounts_of_a_run() -> None:
    world = healthy(50)
    world.spoil(20, 30, fail("HTTP 500"))
    world.spoil(30, 35, fated("unanswered"))
    totals = verdict_of(world, ["error_rate < 1% during run"]).totals
    assert totals.sent == totals.ok + totals.failed + totals.unanswered == totals.offered == 1500
    assert (totals.failed, totals.unanswered, totals.errors) == (300, 150, {"HTTP 500": 300})
