"""What a report shows beside the findings: phases, the table of requests, totals, the faults."""

from __future__ import annotations

import math

from chaos_locust.judge.context import FAILED, Context
from chaos_locust.judge.course import FaultCourse, Stretch
from chaos_locust.judge.recovery import recovery_after
from chaos_locust.judge.rules import guard_s, rule_of
from chaos_locust.judge.series import Series
from chaos_locust.judge.steady import SteadyRules
from chaos_locust.judge.verdict import FaultRecord, Phase, RequestRow, Totals
from chaos_locust.measure.window import Window
from chaos_locust.plan.objectives import Objective

TABLE_KINDS = ("run", "baseline", "fault", "after")


def phases_of(ctx: Context) -> tuple[Phase, ...]:
    """Every labelled stretch, in order of time. A fault's is shown until its end was confirmed."""
    course = ctx.course
    run = course.run
    found = [Phase("warm-up", "warm_up", 0.0, course.warmed_up_s)] if course.warmed_up_s > 0 else []
    found.append(Phase("run", "run", run.starts_s, run.ends_s))
    if course.baseline.ends_s > course.baseline.starts_s:
        found.append(_phase(ctx, "baseline", "baseline", course.baseline))
    for step in ctx.plan.load.steps if ctx.plan.load else ():
        if step.starts_s < course.load_end_s:
            found.append(Phase(step.name, "step", step.starts_s, min(step.ends_s, course.load_end_s)))
    for name, fault in course.faults.items():
        stretch = course.phase(name)
        if stretch is not None and fault.active_s is not None:
            ends_s = fault.reverted_s if fault.reverted_s is not None else stretch.ends_s
            found.append(_phase(ctx, name, "fault", Stretch(fault.active_s, max(fault.active_s, ends_s))))
        after = None if fault.fault.instant else course.after(name)
        if after is not None and after.ends_s > after.starts_s:
            found.append(_phase(ctx, name, "after", after))
    return tuple(sorted(found, key=lambda phase: phase.starts_s))


def _phase(ctx: Context, label: str, kind: str, stretch: Stretch) -> Phase:
    """With the number of requests that the longest guard of the objectives there leaves out."""
    guards = [0.0]
    for rule in ctx.plan.objectives:
        if isinstance(rule, Objective) and rule.scope is not None and rule.scope.labels == (label,):
            resolved = rule_of(ctx, rule, rule.subject if rule.subject in ctx.series.names else None)
            if (rule.scope.kind == "after") == (kind == "after") and not isinstance(resolved, str):
                guards.append(guard_s(resolved, ctx.plan.timeout_s))
    judged = ctx.course.guarded(stretch, max(guards)).seconds if max(guards) else stretch.seconds
    left_out = ctx.series.tally(
        FAILED, None, range(max(judged.stop, stretch.seconds.start), stretch.seconds.stop)
    )
    assert kind in ("baseline", "fault", "after")
    return Phase(label, kind, stretch.starts_s, stretch.ends_s, left_out.n)  # type: ignore[arg-type]


def table_of(ctx: Context, phases: tuple[Phase, ...]) -> tuple[RequestRow, ...]:
    """One row for each request name and phase in which it was made."""
    rows = []
    for phase in phases:
        if phase.kind not in TABLE_KINDS:
            continue
        seconds = Stretch(phase.starts_s, phase.ends_s).seconds
        label = f"after {phase.label}" if phase.kind == "after" else phase.label
        for name in ctx.series.names:
            window = ctx.series.merged(name, seconds)
            if window is not None and window.sent:
                rows.append(_row(name, label, window, len(seconds)))
    return tuple(rows)


def _row(name: str, phase: str, window: Window, length_s: int) -> RequestRow:
    return RequestRow(
        name,
        phase,
        window.sent,
        window.ok,
        window.failures,
        window.unanswered,
        window.sent / length_s,
        _quantile(window, 0.5),
        _quantile(window, 0.95),
        _quantile(window, 0.99),
        window.response.quantile(0.99),
        window.service.quantile(0.99),
    )


def _quantile(window: Window, q: float) -> float | None:
    """From the due time; failures rank as infinitely slow."""
    n = window.ok + window.failures + window.unanswered
    if not n:
        return None
    rank = max(1, math.ceil(q * n - 1e-9 * n))
    return math.inf if rank > window.ok else window.response.quantile(rank / window.ok)


def totals_of(series: Series) -> Totals:
    """Of the whole run, the warm-up included."""
    whole = range(series.first, series.end)
    total = series.total(None, whole)
    arrivals = series.merged("", whole)
    return Totals(
        offered=arrivals.offered if arrivals else 0,
        dropped=arrivals.dropped if arrivals else 0,
        lost=arrivals.lost if arrivals else 0,
        sent=total.sent if total else 0,
        ok=total.ok if total else 0,
        failed=total.failures if total else 0,
        unanswered=total.unanswered if total else 0,
        errors=dict(sorted(total.failed.items(), key=lambda kind: -kind[1])) if total else {},
    )


def fault_records(ctx: Context, rules: SteadyRules) -> tuple[FaultRecord, ...]:
    """In the plan's order."""
    records = []
    for course in ctx.course.faults.values():
        fault = course.fault
        recovery = (
            recovery_after(ctx, rules, course, "starts" if fault.instant else "ends") if course.ran else None
        )
        interval = None
        if recovery is not None:
            low, high = recovery.interval
            interval = (low, high) if recovery.relapse_s is None else (low, math.inf)
        records.append(
            FaultRecord(
                fault.name,
                fault.kind,
                fault.target,
                course.due_s if course.due_s is not None else fault.at_s,
                course.asked_s,
                course.active_s,
                course.revert_asked_s,
                course.reverted_s,
                course.state,
                course.mechanism,
                course.use,
                course.effect,
                interval,
                course.detail,
                _ready_again_s(ctx, course) if course.ran else None,
            )
        )
    return tuple(records)


def _ready_again_s(ctx: Context, course: FaultCourse) -> float | None:
    """Until as many pods were ready as just before the fault was asked for, and stayed so."""
    probe = f"ready_replicas({course.fault.target})"
    ready = [(read.t_s, read.value) for read in ctx.probes if read.probe == probe and read.value is not None]
    assert course.asked_s is not None
    asked_s = course.asked_s
    before = [value for t_s, value in ready if t_s < asked_s]
    since_s = course.active_s if course.fault.instant else course.reverted_s
    after = [(t_s, value) for t_s, value in ready if t_s >= asked_s]
    if not before or since_s is None or not after:
        return None
    short = [place for place, (_, value) in enumerate(after) if value < before[-1]]
    if not short:
        return 0.0
    if short[-1] + 1 == len(after):
        return math.inf
    return max(0.0, after[short[-1] + 1][0] - since_s)
