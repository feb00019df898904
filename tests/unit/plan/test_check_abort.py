"""Abort conditions are watched live, so they cannot lean on a baseline that does not exist yet."""

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
