"""What `check` must not let pass: it would only be inconclusive in the end."""

from __future__ import annotations

from chaos_locust.plan.check import check_plan
from chaos_locust.plan.model import Plan


def problems_of(abort: str) -> list[str]:
    plan = Plan(
        name="a plan",
        host="http://127.0.0.1:1",
        load=[{"step": "base", "rate": "50/s", "for": "60s"}],
        objectives=["error_rate < 1% during baseline"],
        abort=[abort],
    )
    return [str(problem) for problem in check_plan(plan).problems]


def test_an_abort_condition_relative_to_the_baseline_is_refused() -> None:
    (problem,) = problems_of("p95 > 3x baseline for 5s")
    assert problem.startswith("abort[0]: cannot be compared with the baseline")
    assert "p95 > 3x baseline" in problem


def test_an_abort_condition_with_a_bound_of_its_own_is_fine() -> None:
    assert problems_of("p95 > 2s for 5s") == []


def test_a_steady_state_that_its_baseline_cannot_decide_is_refused() -> None:
    plan = Plan(
        name="a plan",
        host="http://127.0.0.1:1",
        targets={"db": {"proxy": "db"}},
        load=[{"step": "base", "rate": "20/s", "for": "60s"}],
        warm_up="2s",
        baseline="18s",
        faults=[{"name": "off", "kind": "down", "target": "db", "at": "20s", "for": "5s"}],
        steady_state=["error_rate < 1%"],
        objectives=["error_rate < 5% during off"],
    )
    problems = [str(problem) for problem in check_plan(plan).problems]
    assert len(problems) == 1
    assert problems[0].startswith("steady_state[0]: ")
    assert "299 are needed" in problems[0]


def test_a_probe_that_nothing_reads_is_refused() -> None:
    plan = Plan(
        name="a plan",
        host="http://127.0.0.1:1",
        load=[{"step": "base", "rate": "50/s", "for": "60s"}],
        objectives=["stock(7) < 10 during run"],
    )
    assert any("stock" in str(problem) for problem in check_plan(plan).problems)


def test_the_first_second_of_a_fault_is_not_promised() -> None:
    plan = Plan(
        name="a plan",
        host="http://127.0.0.1:1",
        targets={"db": {"proxy": "db"}},
        load=[{"step": "base", "rate": "50/s", "for": "60s"}],
        warm_up="2s",
        baseline="18s",
        timeout="1s",
        faults=[{"name": "off", "kind": "down", "target": "db", "at": "20s", "for": "6s"}],
        steady_state=["error_rate < 1%"],
        objectives=["error_rate < 1% during off"],
    )
    checked = check_plan(plan)
    assert "250 samples are planned, 299 are needed" in str(checked.problems[0])
