"""The latency bounds as lines, each only across that part of the run in which it was judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from chaos_locust.judge.verdict import Finding, Outcome, Verdict
from chaos_locust.plan.model import Plan
from chaos_locust.plan.objectives import Objective
from chaos_locust.reports.text import duration, keeps_bound, plain

_MOST = 12


@dataclass(frozen=True, slots=True)
class BoundLine:
    x1: float
    x2: float
    y: float
    label: str
    title: str
    broken: bool


def bound_lines(
    plan: Plan, verdict: Verdict, x: Callable[[float], float], place: Callable[[float], float]
) -> list[BoundLine]:
    """A line for each latency bound, across that part of the run in which it was judged."""
    rules = {rule.text: rule for rule in plan.objectives if isinstance(rule, Objective)}
    lines: dict[tuple[str, float], BoundLine] = {}
    for finding in verdict.findings:
        rule = rules.get(finding.text)
        if rule is None or not is_latency(finding) or finding.bound is None:
            continue
        if rule.measure.kind not in ("quantile", "mean", "max"):
            continue
        stretch = _scope(rule, verdict)
        if stretch is None:
            continue
        name = f"p{rule.measure.quantile * 100:g}" if rule.measure.quantile is not None else rule.measure.kind
        broken = finding.outcome is Outcome.DEVIATED or keeps_bound(finding) is False
        x1, x2 = x(stretch[0]), x(stretch[1])
        label = f"{name} {rule.op} {duration(finding.bound)}"
        title = f"{plain(rule.text)}: {finding.outcome.value}"
        key = (rule.text, finding.bound)
        if key not in lines or broken:
            lines[key] = BoundLine(x1, x2, place(finding.bound), label, title, broken)
    return list(lines.values())[:_MOST]


def _scope(rule: Objective, verdict: Verdict) -> tuple[float, float] | None:
    """Where a rule holds: what all phases of its labels have in common."""
    if rule.scope is None:
        return None
    starts_s, ends_s = 0.0, math.inf
    for label in rule.scope.labels:
        after = rule.scope.kind == "after"
        phases = [p for p in verdict.phases if p.label == label and (p.kind == "after") == after]
        if not phases:
            return None
        starts_s = max(starts_s, phases[0].starts_s)
        ends_s = min(ends_s, phases[0].ends_s)
    return (starts_s, ends_s) if ends_s > starts_s else None


def is_latency(finding: Finding) -> bool:
    """A value in seconds that the lane of the latencies shows: no recovery, no outage."""
    if finding.source not in ("objective", "steady_state") or finding.unit != "s" or finding.interval:
        return False
    return finding.bound is not None and math.isfinite(finding.bound)
