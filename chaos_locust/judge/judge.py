"""From a plan and the recording of its run to the verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chaos_locust.events import ProbeRead, Recording
from chaos_locust.judge.claims import DEVIATED, INCONCLUSIVE, UPHELD
from chaos_locust.judge.context import Context
from chaos_locust.judge.course import Course, FaultCourse, course_of
from chaos_locust.judge.objectives import judge_objective, judge_steady_state, worst_of
from chaos_locust.judge.recovery import judge_recovery
from chaos_locust.judge.sentence import sentence_of
from chaos_locust.judge.series import Series
from chaos_locust.judge.steady import steady_rules
from chaos_locust.judge.stress import judge_climb, of_the_climb
from chaos_locust.judge.tables import fault_records, phases_of, table_of, totals_of
from chaos_locust.judge.trust import judge_trust
from chaos_locust.judge.verdict import EXIT_CODES, EXIT_CRASH, EXIT_DIRTY, Finding, Outcome, Verdict
from chaos_locust.plan.model import Plan
from chaos_locust.plan.objectives import RecoveryObjective

_RANK = {DEVIATED: 0, INCONCLUSIVE: 1, UPHELD: 2}


def judge(plan: Plan, recording: Recording, companions: Sequence[Finding] = ()) -> Verdict:
    """The verdict of a run that is over. companions: findings of others, which count like our own."""
    course = course_of(plan, recording)
    series = Series(recording.windows, plan.load)
    probes = tuple(event for event in recording.events if isinstance(event, ProbeRead))
    ctx = Context(plan, course, series, probes)
    stress = plan.load is not None and plan.load.shape == "stress"
    climb = judge_climb(ctx, lambda at: judge_trust(ctx, recording, at).doubt) if stress else None
    trusted = course.run if climb is None or climb.level is None else course.run.until(climb.ends_s)
    judged = judge_trust(ctx, recording, trusted.seconds)
    ctx = replace(ctx, doubt=judged.doubt)
    rules = steady_rules(ctx)

    findings: list[Finding] = list(climb.findings) if climb is not None else []
    for objective in plan.objectives:
        if isinstance(objective, RecoveryObjective):
            findings.append(judge_recovery(ctx, rules, objective))
        elif climb is None or not of_the_climb(objective):
            findings += judge_objective(ctx, objective)
    findings += [found for rule in plan.steady_state for found in judge_steady_state(ctx, rule)]
    findings += companions
    demanded = bool(findings)
    findings += judged.findings
    for fault in course.faults.values():
        findings += _fault_findings(fault)
    findings += _end_findings(course, stress)
    totals = totals_of(series)
    if not totals.sent:
        findings.append(
            Finding("generator", "requests were sent", INCONCLUSIVE, "no request was sent at all")
        )

    outcome = _overall(findings, demanded)
    dirty = any(fault.dirty for fault in course.faults.values())
    exit_code = EXIT_CODES[outcome]
    if dirty or course.reason == "crashed":
        exit_code = EXIT_DIRTY if dirty else EXIT_CRASH
    ordered = sorted(
        findings, key=lambda f: (_RANK[f.outcome], f.severity == "warn", f.source != "objective")
    )
    records = fault_records(ctx, rules)
    phases = phases_of(ctx)
    by_text = {rule.text: rule for rule in (*plan.objectives, *plan.steady_state)}
    return Verdict(
        run_id=recording.header.run_id,
        plan_name=plan.name,
        outcome=outcome,
        exit_code=exit_code,
        sentence=sentence_of(outcome, ordered, by_text, records, dirty),
        findings=tuple(ordered),
        phases=phases,
        faults=records,
        table=table_of(ctx, phases),
        totals=totals,
        trust=judged.trust,
        workload="open" if series.open else "closed",
        duration_s=max([course.load_end_s, *(event.t_s for event in recording.events)]),
        started_epoch_s=recording.header.started_epoch_s,
        seed=recording.header.seed,
        end_reason=course.reason or "unknown",
        stress_level=climb.level if climb is not None else None,
    )


def _overall(findings: Sequence[Finding], demanded: bool) -> Outcome:
    """A warning never changes it. Where nothing was demanded nothing can have been upheld."""
    outcomes = [finding.outcome for finding in findings if finding.severity == "error"]
    if not demanded:
        outcomes.append(INCONCLUSIVE)
    return worst_of(outcomes) if outcomes else UPHELD


def _fault_findings(course: FaultCourse) -> list[Finding]:
    """Whether a fault acted, and whether it is gone."""
    name, findings = course.fault.name, []
    title = f"the effect of {name} was seen"
    if not course.ran:
        why = course.detail or "the run never came to it"
        findings.append(
            Finding("effect", title, INCONCLUSIVE, f"{name} was not injected: {why}", not_run=True)
        )
    elif course.seen:
        findings.append(Finding("effect", title, UPHELD, course.effect))
    else:
        missing = [
            what
            for what, seen in (("on its mechanism", course.mechanism), ("in its use", course.use))
            if not seen
        ]
        why = course.effect or "nothing was observed"
        findings.append(Finding("effect", title, INCONCLUSIVE, f"not seen {' nor '.join(missing)}: {why}"))
    if course.dirty:
        why = course.detail or "its end was never confirmed"
        findings.append(
            Finding("cleanup", f"{name} was undone", INCONCLUSIVE, f"{name} may still act: {why}")
        )
    return findings


def _end_findings(course: Course, stress: bool) -> list[Finding]:
    """How the run ended, when that counts."""
    detail = course.end_detail
    match course.reason:
        case "aborted" if stress:
            return [Finding("abort", "abort condition", UPHELD, f"the climb ended: {detail}")]
        case "aborted":
            return [Finding("abort", "abort condition", DEVIATED, f"the run was aborted: {detail}")]
        case "interrupted":
            return [Finding("abort", "the run was ended from outside", INCONCLUSIVE, detail or "interrupted")]
        case "workers_lost":
            return [Finding("worker", "the load went on", INCONCLUSIVE, detail or "the last worker was lost")]
        case "guardian_lost":
            return [
                Finding("cleanup", "the guardian kept watch", INCONCLUSIVE, detail or "the guardian died")
            ]
        case "crashed":
            return [
                Finding("abort", "the run came to its end", INCONCLUSIVE, f"chaos-locust failed: {detail}")
            ]
    return []
