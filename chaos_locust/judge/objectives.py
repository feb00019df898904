"""The findings of the plan's objectives: where each is judged, whether it can be, and what came of it."""

from __future__ import annotations

from dataclasses import replace

from chaos_locust.judge.claims import DEVIATED, INCONCLUSIVE, UPHELD
from chaos_locust.judge.context import FAILED, Context, Place
from chaos_locust.judge.course import FaultCourse, Stretch
from chaos_locust.judge.rules import Decision, Rule, guard_s, rule_of, shown, stretches
from chaos_locust.judge.verdict import Finding, Outcome
from chaos_locust.judge.words import count
from chaos_locust.plan.objectives import EACH_REQUEST, Objective, RecoveryObjective, Scope


def undecided(
    rule: Objective | RecoveryObjective, reason: str, subject: str | None = None, not_run: bool = False
) -> Finding:
    """An objective that could not be judged."""
    bound = rule.bound.value if isinstance(rule, Objective) and rule.bound.relative is None else None
    return Finding(
        "objective",
        rule.text,
        INCONCLUSIVE,
        reason,
        rule.severity,
        subject,
        bound=bound if isinstance(rule, Objective) else rule.bound_s,
        unit=rule.bound.unit if isinstance(rule, Objective) else "s",
        op=rule.op,
        not_run=not_run,
    )


def hindered(ctx: Context, rule: Objective | RecoveryObjective, named: list[FaultCourse]) -> Finding | None:
    """The finding of an objective whose faults did not run or were not seen; None: it can be judged."""
    subject = rule.subject if isinstance(rule, Objective) else None
    for fault in named:
        name = fault.fault.name
        if not fault.ran:
            why = f": {fault.detail}" if fault.detail else ""
            return undecided(rule, f"not run, for {name} was not injected{why}", subject, not_run=True)
        if not fault.seen:
            why = f": {fault.effect}" if fault.effect else ""
            return undecided(rule, f"the effect of {name} was not seen{why}", subject)
    scope = rule.scope if isinstance(rule, Objective) else None
    if ctx.course.reason == "baseline_deviated" and (scope is None or "baseline" not in scope.labels):
        return undecided(rule, "not run, for the baseline deviated", subject, not_run=True)
    return None


def judge_objective(ctx: Context, objective: Objective) -> list[Finding]:
    """One finding; for `each request` one for every request name that was seen."""
    assert objective.scope is not None
    found = hindered(ctx, objective, ctx.course.faults_named(objective.scope))
    if found is not None:
        return [found]
    stretch = ctx.course.scope(objective.scope)
    if stretch is None or not stretch.seconds:
        return [undecided(objective, "the run never came to it", objective.subject, not_run=True)]
    if objective.subject != EACH_REQUEST:
        return [_judge(ctx, objective, objective.subject, stretch)]
    if not ctx.series.names:
        return [undecided(objective, "no request was made in the whole run", EACH_REQUEST)]
    return [_judge(ctx, objective, name, stretch) for name in ctx.series.names]


def _judge(ctx: Context, objective: Objective, subject: str | None, stretch: Stretch) -> Finding:
    assert objective.scope is not None
    if subject is not None and subject not in ctx.series.names:
        return undecided(objective, f"no request named {subject} was made in the whole run", subject)
    rule = rule_of(ctx, objective, subject)
    if isinstance(rule, str):
        return undecided(objective, rule, subject)
    if objective.bound.relative in ("factor", "plus") and not ctx.comparable(stretch):
        return undecided(objective, "the baseline was at another load level: no comparison", subject)
    guarded = ctx.course.guarded(stretch, guard_s(rule, ctx.plan.timeout_s))
    at = guarded.seconds
    unjudged = range(max(at.stop, stretch.seconds.start), stretch.seconds.stop)
    left_out = ctx.series.tally(FAILED, subject, unjudged).n
    asked = [f.asked_s for f in ctx.course.faults_named(objective.scope) if f.asked_s is not None]
    since_s = min(asked, default=stretch.starts_s)
    place = Place(at, guarded, since_s, ctx.course.cuts(objective.scope, stretch), left_out)
    if not at:
        return undecided(objective, "all of it was due too shortly before a fault", subject)
    return finding_at(ctx, rule, place)


def judge_steady_state(ctx: Context, rule: Objective) -> list[Finding]:
    """Whether one rule of the plan's steady state held over the whole baseline."""
    during = replace(rule, scope=Scope("during", ("baseline",)))
    findings = judge_objective(ctx, during)
    return [replace(f, source="steady_state", text=f"{rule.text} (steady state)") for f in findings]


def finding_at(ctx: Context, rule: Rule, place: Place) -> Finding:
    objective, at = rule.objective, place.at
    decision, shown_at = _decide(ctx, rule, place)
    outcome, reason = decision.outcome, decision.reason
    margin = rule.margin(ctx, shown_at) if outcome is not INCONCLUSIVE else None
    if outcome is UPHELD and ctx.doubt.any:
        outcome, reason = INCONCLUSIVE, f"{reason}; but the run cannot be trusted: {ctx.doubt}"
    if outcome is DEVIATED and ctx.doubt.clock and _by_the_clock(ctx, objective):
        outcome, reason = INCONCLUSIVE, f"{reason}; but the clocks differ: {ctx.doubt}"
    if margin is not None and margin[1]:
        reason += "; the samples are correlated"
    if place.left_out:
        reason += f"; {count(place.left_out)} requests shortly before a fault left out"
    value, samples, range_ = shown(ctx, rule, place if shown_at is at else Place.of(shown_at))
    return Finding(
        "objective",
        objective.text,
        outcome,
        reason,
        objective.severity,
        rule.subject,
        value=value,
        bound=rule.bound.most,
        unit=objective.bound.unit,
        op=objective.op,
        samples=samples,
        interval=(range_.least, range_.most) if range_ and objective.measure.kind == "outage" else None,
        stretch=(shown_at.start, shown_at.stop) if shown_at else (at.start, at.stop),
        margin=margin[0] if margin is not None and outcome is not INCONCLUSIVE else None,
    )


def _decide(ctx: Context, rule: Rule, place: Place) -> tuple[Decision, range]:
    """The decision and the seconds that show it: all, or for `in every` the worst stretch."""
    every_s, at = rule.objective.every_s, place.at
    if every_s is None:
        return rule.decide(ctx, place), at
    parts = stretches(at, max(1, round(every_s)))
    if not parts:
        return Decision(INCONCLUSIVE, f"it lasted {len(at)} s, which is shorter than {every_s:g} s"), at
    decided = [(rule.decide(ctx, Place.of(part), len(parts)), part) for part in parts]
    for outcome in (DEVIATED, INCONCLUSIVE, UPHELD):
        those = [each for each in decided if each[0].outcome is outcome]
        if those:
            worst, part = max(those, key=lambda each: each[0].badness)
            where = f"in {count(len(those))} of {count(len(parts))} stretches of {every_s:g} s"
            told = f"{where}, at worst at {part.start} s: {worst.reason}"
            if outcome is UPHELD and place.cut:
                return Decision(INCONCLUSIVE, f"{told}, but the run ended before its time"), part
            return Decision(outcome, told, worst.badness), part
    raise AssertionError("every decision has an outcome")


def _by_the_clock(ctx: Context, objective: Objective) -> bool:
    """Whether it depends on which second a fault began or ended in."""
    assert objective.scope is not None
    labels = set(objective.scope.labels)
    return "baseline" in labels or bool(labels & set(ctx.course.faults)) or objective.scope.kind == "after"


def worst_of(outcomes: list[Outcome]) -> Outcome:
    """DEVIATED before INCONCLUSIVE before UPHELD; INCONCLUSIVE when there are none."""
    for outcome in (DEVIATED, INCONCLUSIVE, UPHELD):
        if outcome in outcomes:
            return outcome
    return INCONCLUSIVE
