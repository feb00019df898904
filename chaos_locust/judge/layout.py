"""Which bounds of a plan become edges of every histogram of its run."""

from __future__ import annotations

from chaos_locust.measure.histogram import NS, Layout
from chaos_locust.plan.model import Plan
from chaos_locust.plan.objectives import Objective, Op


def slow_from_ns(op: Op, bound_s: float) -> int:
    """From how many ns on a request counts as slow: `< 100ms` and `>= 100ms` part at 100 ms itself,
    `<= 100ms` and `> 100ms` one nanosecond above."""
    return round(bound_s * NS) + (1 if op in ("<=", ">") else 0)


def is_latency(objective: Objective) -> bool:
    """Whether it bounds a response time."""
    return objective.measure.kind in ("quantile", "mean", "max")


def plan_layout(plan: Plan) -> Layout:
    """The layout of all histograms of a run of `plan`: recorder, journal and judge use this one."""
    rules = [rule for rule in (*plan.objectives, *plan.steady_state) if isinstance(rule, Objective)]
    rules += [condition.rule for condition in plan.abort]
    return Layout(
        tuple(
            slow_from_ns(rule.op, rule.bound.value)
            for rule in rules
            if is_latency(rule) and rule.bound.relative is None
        )
    )
