"""The judge's rules on a run that still goes on: windows are provisional, requests may be in flight.

All are asked about the time up to `now_s`, which should lie two seconds back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from chaos_locust.events import ProbeRead, Recording
from chaos_locust.judge.claims import DEVIATED, INCONCLUSIVE, UPHELD
from chaos_locust.judge.context import Context, Place
from chaos_locust.judge.course import Course, course_of
from chaos_locust.judge.objectives import judge_objective, judge_steady_state, worst_of
from chaos_locust.judge.rules import Rule, rule_of
from chaos_locust.judge.series import Series
from chaos_locust.judge.steady import WINDOW_S, State, steady_rules
from chaos_locust.judge.stress import judge_at, of_the_climb
from chaos_locust.judge.verdict import Finding, Outcome
from chaos_locust.measure.binomial import surely_above
from chaos_locust.measure.window import Window
from chaos_locust.plan.model import Plan
from chaos_locust.plan.objectives import EACH_REQUEST, Objective
from chaos_locust.plan.samples import samples_floor

BASELINE_LEAST_S = 30.0

REFERENCE_S = 120
"""Asked every second, `steady_now` compares with at most so much of the baseline; the verdict with all."""


def steady_now(plan: Plan, recording: Recording, now_s: float) -> bool | None:
    """Whether the target was steady in the last five seconds; None: that cannot be said."""
    stop = math.floor(now_s)
    ctx = _context(plan, recording, now_s, least=stop - WINDOW_S)
    state = steady_rules(ctx).state(ctx, range(stop - WINDOW_S, stop), 1)
    return {State.GOOD: True, State.BAD: False}.get(state)


def baseline_state(plan: Plan, recording: Recording, now_s: float) -> tuple[Outcome | None, list[Finding]]:
    """The outcome of the baseline's objectives and of the plan's steady state in the baseline so far.

    None: not known yet, because it has lasted less than its least length or has too few samples.
    """
    ctx = _context(plan, recording, now_s)
    if not ctx.course.baseline.seconds:
        return None, []
    findings = [found for rule in plan.steady_state for found in judge_steady_state(ctx, rule)]
    for rule in plan.objectives:
        if isinstance(rule, Objective) and rule.scope is not None and rule.scope.labels == ("baseline",):
            findings += judge_objective(ctx, rule)
    gating = [finding.outcome for finding in findings if finding.severity == "error"]
    outcome = worst_of(gating) if gating else UPHELD
    least_s = plan.baseline_s if plan.baseline_s is not None else BASELINE_LEAST_S
    short = ctx.course.baseline.ends_s - ctx.course.baseline.starts_s < least_s
    if outcome is INCONCLUSIVE or (short and outcome is not DEVIATED):
        return None, findings
    return outcome, findings


def abort_met(
    plan: Plan, windows: Mapping[tuple[int, str], Window], now_s: float, probes: Sequence[ProbeRead] = ()
) -> str | None:
    """The text of an abort condition that has held for its time up to now; None: none has."""
    if not plan.abort:
        return None
    course = Course(plan, {}, 0.0, now_s, 0.0, None, "", complete=False, live=True)
    stop = math.floor(now_s)
    longest = math.ceil(max(condition.for_s for condition in plan.abort))
    recent = {key: window for key, window in windows.items() if stop - longest <= key[0] < stop}
    ctx = Context(plan, course, Series(recent, plan.load, now_s), probes)
    for condition in plan.abort:
        at = range(stop - math.ceil(condition.for_s), stop)
        subjects = ctx.series.names if condition.rule.subject == EACH_REQUEST else [condition.rule.subject]
        for subject in subjects if at.start >= 0 else ():
            rule = rule_of(ctx, condition.rule, subject)
            if not isinstance(rule, str) and _surely_holds(ctx, rule, at):
                return condition.text
    return None


def climb_broken(plan: Plan, recording: Recording, now_s: float) -> str | None:
    """What broke at the last step of a stress load that is over; None: it held, or that is not known."""
    if plan.load is None or plan.load.shape != "stress":
        return None
    over = [step for step in plan.load.steps if step.ends_s <= now_s]
    if not over:
        return None
    ctx = _context(plan, recording, now_s)
    for objective in plan.objectives:
        if isinstance(objective, Objective) and of_the_climb(objective) and objective.severity == "error":
            broken = [f for f in judge_at(ctx, objective, over[-1]) if f.outcome is DEVIATED]
            if broken:
                return f"{objective.text} broke at {over[-1].name}: {broken[0].reason}"
    return None


def _surely_holds(ctx: Context, rule: Rule, at: range) -> bool:
    """By the counts and, where samples are few, beyond chance: one failed request of one ends no run."""
    claim = rule.claim
    if claim is None or claim.at_most:
        return rule.decide(ctx, Place.of(at)).outcome is UPHELD
    tally = ctx.series.tally(claim.bad, rule.subject, at)
    enough = tally.n >= samples_floor(claim.limit) or surely_above(tally.least, tally.n, claim.limit)
    return tally.n > 0 and enough and claim.holds(tally.least, tally.n)


def _context(plan: Plan, recording: Recording, now_s: float, least: int | None = None) -> Context:
    """least: windows from there on, and of the baseline the last REFERENCE_S; None: all."""
    stop = math.floor(now_s)
    recent = {key: window for key, window in recording.windows.items() if key[0] < stop}
    course = course_of(plan, Recording(recording.header, recording.events, recent, complete=False), now_s)
    if least is not None:
        baseline = course.baseline.seconds[-REFERENCE_S:]
        recent = {key: window for key, window in recent.items() if key[0] >= least or key[0] in baseline}
    probes = tuple(event for event in recording.events if isinstance(event, ProbeRead))
    return Context(plan, course, Series(recent, plan.load, now_s), probes)
