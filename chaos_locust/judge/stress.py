"""A stress load: how high it can go while everything that is demanded `during run` holds.

Each step is judged for itself, the load generator's trust too, for breaking is what stress seeks: what
breaks at the top says nothing against the levels below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from chaos_locust.judge.claims import DEVIATED, INCONCLUSIVE, UPHELD
from chaos_locust.judge.context import Context
from chaos_locust.judge.doubt import Doubt
from chaos_locust.judge.objectives import judge_objective, worst_of
from chaos_locust.judge.verdict import Finding, Outcome
from chaos_locust.judge.words import number
from chaos_locust.plan.load import Step
from chaos_locust.plan.objectives import Objective, Scope


@dataclass(frozen=True, slots=True)
class Climb:
    """level: the highest at which every objective held; None: none did. ends_s: the end of its step."""

    level: float | None
    ends_s: float
    findings: tuple[Finding, ...]


def of_the_climb(objective: Objective) -> bool:
    """Whether it is judged step by step."""
    return objective.scope is not None and objective.scope.labels == ("run",)


def judge_climb(ctx: Context, doubt_at: Callable[[range], Doubt]) -> Climb:
    """doubt_at: the doubts about the generator in the given seconds."""
    assert ctx.plan.load is not None
    steps = [step for step in ctx.plan.load.steps if ctx.course.phase(step.name).seconds]  # type: ignore[union-attr]
    objectives = [o for o in ctx.plan.objectives if isinstance(o, Objective) and of_the_climb(o)]
    judged: dict[str, list[tuple[Step, list[Finding]]]] = {o.text: [] for o in objectives}
    for step in steps:
        seconds = ctx.course.phase(step.name)
        assert seconds is not None
        there = replace(ctx, doubt=doubt_at(seconds.seconds))
        for objective in objectives:
            judged[objective.text].append((step, judge_at(there, objective, step)))
    findings = tuple(_finding(ctx, objective, judged[objective.text]) for objective in objectives)
    gating = [judged[o.text] for o in objectives if o.severity == "error"]
    outcomes = [
        (step, worst_of([f.outcome for climb in gating for f in climb[i][1]])) for i, step in enumerate(steps)
    ]
    reached = _reached(outcomes) if gating else None
    return Climb(reached.end_level if reached else None, reached.ends_s if reached else 0.0, findings)


def judge_at(ctx: Context, objective: Objective, step: Step) -> list[Finding]:
    """What is demanded `during run`, at one step of the climb."""
    return judge_objective(ctx, replace(objective, scope=Scope("during", ("run", step.name))))


def _reached(outcomes: list[tuple[Step, Outcome]]) -> Step | None:
    """The last step that held before the first that did not."""
    reached = None
    for step, outcome in outcomes:
        if outcome is DEVIATED:
            break
        if outcome is UPHELD:
            reached = step
    return reached


def _finding(ctx: Context, objective: Objective, climb: list[tuple[Step, list[Finding]]]) -> Finding:
    """One finding for the whole climb."""
    assert ctx.plan.load is not None
    unit = "1/s" if ctx.plan.load.workload == "open" else "count"
    outcomes = [(step, worst_of([f.outcome for f in findings])) for step, findings in climb]
    reached = _reached(outcomes)
    broken = next((i for i, (_, outcome) in enumerate(outcomes) if outcome is DEVIATED), None)
    goal = ctx.plan.load.at_least
    told = f"held up to {number(reached.end_level, unit)}" if reached else "held at no level"  # type: ignore[arg-type]
    shown = climb[-1][1][0] if climb else None
    if broken is not None:
        shown = next(f for f in climb[broken][1] if f.outcome is DEVIATED)
        told += f", broke at {number(climb[broken][0].end_level, unit)}: {shown.reason}"  # type: ignore[arg-type]
    elif not reached and shown is not None:
        told += f": {shown.reason}"
    if reached is not None and (goal is None or reached.end_level >= goal):
        outcome = UPHELD
    elif broken is not None:  # it broke before it reached what was wanted
        outcome = DEVIATED
    else:
        outcome = INCONCLUSIVE
    if goal is not None:
        told += f" (at least {number(goal, unit)} wanted)"  # type: ignore[arg-type]
    found = shown or Finding("objective", objective.text, outcome, told)
    return replace(
        found, text=objective.text, outcome=outcome, reason=told, severity=objective.severity, margin=None
    )
