"""Whether a run of the plan can decide an objective: enough samples, the same load, enough time left."""

from __future__ import annotations

from dataclasses import dataclass

from chaos_locust.errors import Problem
from chaos_locust.plan.expected import SEEN_S, Expected, Stretch
from chaos_locust.plan.model import Plan
from chaos_locust.plan.objectives import Objective, RecoveryObjective
from chaos_locust.plan.samples import baseline_needed, guard_s, samples_needed, samples_planned, subject_share
from chaos_locust.units import format_duration

# A request that makes up less than this share of the load is worth a warning that samples may be missing
RARE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class PlannedObjective:
    """samples: planned, None when not known beforehand. needed: for the fact to decide.

    decidable: None when the plan alone cannot tell; `reason` says why it is not True. starts_s, ends_s:
    where it is judged (a recovery: from the edge to the end of the run).
    """

    objective: Objective | RecoveryObjective
    place: str
    starts_s: float
    ends_s: float
    samples: int | None
    needed: int
    decidable: bool | None
    reason: str = ""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def plan_objective(plan: Plan, expected: Expected, rule: Objective, place: str) -> PlannedObjective:
    assert rule.scope is not None, "only steady_state and abort have no scope"
    stretch = expected.scope(rule.scope)
    found = samples_planned(plan, expected, rule, stretch)
    reason = _never(expected, rule, stretch) or _incomparable(plan, expected, rule, stretch)
    closed = plan.load is not None and plan.load.workload == "closed"
    if closed and (rule.measure.kind == "dropped" or rule.bound.relative == "offered"):
        reason = reason or "users offer no rate, so nothing can be dropped or missing; give the load as rates"
    if not reason and found.planned is not None and found.planned < found.needed:
        every = f" in {format_duration(rule.every_s)}" if rule.every_s else ""
        most = "at most " if found.share is None else ""
        reason = f"{most}{found.planned} samples{every} are planned, {found.needed} are needed to decide"
    decidable: bool | None = not reason
    warnings: tuple[Problem, ...] = ()
    if not reason and (found.planned is None or found.share is None):
        decidable = None
        if found.planned is None:
            reason = "how many requests the users make is not known beforehand"
        else:
            least = found.needed / found.planned
            reason = f"needs at least {found.needed} of the {found.planned} requests planned ({least:.1%})"
            if least > RARE_SHARE:
                warnings = (Problem(place, f"{reason}; the locustfile decides whether there are so many"),)
    problems = (Problem(place, f"{reason} (in: {rule.text})"),) if decidable is False else ()
    return PlannedObjective(
        objective=rule,
        place=place,
        starts_s=stretch.starts_s,
        ends_s=max(stretch.ends_s, stretch.starts_s),
        samples=None if found.share is None else found.planned,
        needed=found.needed,
        decidable=decidable,
        reason=reason,
        problems=problems,
        warnings=warnings,
    )


def plan_recovery(plan: Plan, expected: Expected, rule: RecoveryObjective, place: str) -> PlannedObjective:
    """It takes the bound and the time in which steady windows must have followed each other.

    Where another fault comes, requests that can have met it are not looked at.
    """
    fault = plan.fault(rule.fault)
    edge_s = expected.onset_s(fault) if rule.edge == "starts" else expected.over_s(fault)
    next_s = expected.next_onset_s(edge_s)
    end_s = expected.load.duration_s if next_s is None else next_s - plan.timeout_s
    left_s = max(round(end_s - edge_s, 6), 0.0)
    ends = "the load ends" if next_s is None else "the next fault can be felt"
    told = f"{ends} {format_duration(left_s)} after {rule.fault} {rule.edge}"
    hold = f"recovered means steady windows for {format_duration(SEEN_S)}"
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    reason = ""
    if fault.instant and rule.edge == "ends":
        reason = f"a {fault.kind} is over at once; write after {rule.fault} starts"
    elif left_s < SEEN_S:
        longer = "make the last step longer" if next_s is None else "let the next fault come later"
        reason = f"{told}, and {hold}; {longer}"
    if reason:
        problems = (Problem(place, f"{reason} (in: {rule.text})"),)
    elif left_s < rule.bound_s + SEEN_S:
        within = format_duration(round(left_s - SEEN_S, 6))
        reason = f"{told}, and {hold}, so only a recovery within {within} can be seen"
        warnings = (Problem(place, f"{reason} (in: {rule.text})"),)
    return PlannedObjective(
        objective=rule,
        place=place,
        starts_s=edge_s,
        ends_s=max(end_s, edge_s),
        samples=None,
        needed=1,
        decidable=not problems,
        reason=reason,
        problems=problems,
        warnings=warnings,
    )


def _never(expected: Expected, rule: Objective, stretch: Stretch) -> str:
    """Why no second of the run is judged; empty when there is one."""
    assert rule.scope is not None
    words = f"{rule.scope.kind} {' and '.join(rule.scope.labels)}"
    if stretch.length_s == 0:
        times = []
        for label in rule.scope.labels if rule.scope.kind == "during" else ():
            phase = expected.phase(label)
            span = f"{phase.starts_s:g}-{phase.ends_s:g} s" if phase.length_s else "nothing after the warm-up"
            times.append(f"{label}: {span}")
        return (
            f"'{words}' never is in this plan ({', '.join(times)})" if times else f"nothing is left '{words}'"
        )
    judged = expected.guarded(stretch, guard_s(expected.plan, rule))
    if not judged.seconds:
        guard = format_duration(guard_s(expected.plan, rule))
        return f"'{words}' has no whole second left: the last {guard} before a fault may have met it"
    if rule.every_s is not None and len(judged.seconds) < rule.every_s:
        return f"'{words}' is shorter than {format_duration(rule.every_s)}"
    return ""


def _incomparable(plan: Plan, expected: Expected, rule: Objective, stretch: Stretch) -> str:
    """Why the rule cannot be compared with the baseline; empty when it can or does not want to."""
    if rule.bound.relative not in ("factor", "plus"):
        return ""
    baseline, here = expected.level(expected.baseline), expected.level(stretch)
    if baseline is None or here is None or baseline != here:
        unit = "/s" if expected.load.workload == "open" else " users"
        levels = [f"{level:g}{unit}" if level is not None else "several levels" for level in (here, baseline)]
        return f"{levels[0]} are compared with {levels[1]} of the baseline; the load must be the same"
    share = subject_share(plan, rule)
    arrivals = expected.arrivals(expected.guarded(expected.baseline, guard_s(plan, rule)))
    needed = max(baseline_needed(rule), samples_needed(rule))
    if arrivals is not None and arrivals * (1.0 if share is None else share) < needed:
        found = round(arrivals * (1.0 if share is None else share))
        return f"the baseline has {found} samples, {needed} are needed to compare with it"
    return ""
