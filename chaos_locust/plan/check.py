"""What can be known of a plan before it runs: what is wrong, what will happen, what can be decided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from chaos_locust.data import did_you_mean
from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.plan.conflicts import fault_problems, target_problems
from chaos_locust.plan.decidable import PlannedObjective, plan_objective, plan_recovery
from chaos_locust.plan.expected import WINDOW_S, Expected, PlannedPhase
from chaos_locust.plan.limits import limit_problems
from chaos_locust.plan.load import Step
from chaos_locust.plan.model import RESERVED, Plan
from chaos_locust.plan.objectives import EACH_REQUEST, Objective, RecoveryObjective, Scope
from chaos_locust.plan.parts import named_slo
from chaos_locust.plan.probes import probe_problem
from chaos_locust.plan.samples import request_shares
from chaos_locust.units import format_duration


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault with its expected times. exact: False when it waits for a condition; then the earliest."""

    fault: Fault
    starts_s: float
    ends_s: float
    exact: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """problems: why the plan cannot run (exit code 2). warnings: what its author should know.

    phases, faults and objectives are empty where the plan has no load to compute them from.
    """

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    steps: tuple[Step, ...] = ()
    faults: tuple[PlannedFault, ...] = ()
    phases: tuple[PlannedPhase, ...] = ()
    objectives: tuple[PlannedObjective, ...] = ()


def check_plan(plan: Plan) -> Checked:
    """All problems at once. Pure: nothing of the world is looked at."""
    problems = [*_taken_names(plan), *target_problems(plan)]
    unknown = _unknown_names(plan)
    warnings = _infinite_percentiles(plan)
    warnings += [Problem(place, text) for place, fault in plan.placed_faults() for text in fault.warnings()]
    if plan.load is None:
        if plan.objectives or plan.faults:
            text = "is not given, so it is not known beforehand how long the run is and what it can decide"
            warnings.append(Problem("load", text))
        return Checked((*problems, *limit_problems(plan, None), *unknown), tuple(warnings))

    expected = Expected(plan)
    problems += fault_problems(plan, expected)
    problems += limit_problems(plan, expected)
    problems += _baseline_problems(plan, expected)
    problems += _stress_problems(plan)
    problems += _abort_problems(plan)
    objectives = []
    unclear = {problem.place for problem in unknown}
    for place, objective in _with_places(plan):
        if place in unclear:
            continue
        if isinstance(objective, RecoveryObjective):
            planned = plan_recovery(plan, expected, objective, place)
        else:
            planned = plan_objective(plan, expected, objective, place)
        objectives.append(planned)
        problems += planned.problems
        warnings += planned.warnings
    for place, rule in _steady_in_baseline(plan):
        if place not in unclear:
            problems += plan_objective(plan, expected, rule, place).problems
    return Checked(
        problems=(*problems, *unknown),
        warnings=tuple(warnings),
        steps=plan.load.steps,
        faults=tuple(
            PlannedFault(fault, expected.onset_s(fault), expected.over_s(fault), fault.at_s is not None)
            for fault in plan.faults
        ),
        phases=tuple(expected.phases()),
        objectives=tuple(objectives),
    )


def _with_places(plan: Plan) -> Iterable[tuple[str, Objective | RecoveryObjective]]:
    named = named_slo(plan.slo) if plan.slo else ()
    for index, objective in enumerate(plan.objectives):
        yield ("slo" if objective in named else f"objectives[{index}]"), objective


def _steady_in_baseline(plan: Plan) -> Iterable[tuple[str, Objective]]:
    """The plan's own steady state is judged in the baseline, where it must be decidable too."""
    for index, rule in enumerate(plan.steady_state):
        yield f"steady_state[{index}]", replace(rule, scope=Scope("during", ("baseline",)))


def _taken_names(plan: Plan) -> list[Problem]:
    """The load may have come from elsewhere than the plan, so its names are looked at here once more."""
    places = dict.fromkeys(RESERVED, "a word with a meaning of its own")
    problems = []
    named = [(f"load step {step.name}", step.name) for step in (plan.load.steps if plan.load else ())]
    named += [(f"{place}.name", fault.name) for place, fault in plan.placed_faults()]
    for place, name in named:
        if name in places:
            problems.append(Problem(place, f"'{name}' is taken by {places[name]}; give each its own name"))
        places.setdefault(name, place)
    return problems


def _unknown_names(plan: Plan) -> list[Problem]:
    """Targets, labels, faults and requests that are named but not there."""
    problems = []
    for place, fault in plan.placed_faults():
        if fault.target not in plan.targets:
            hint = did_you_mean(fault.target, plan.targets) if plan.targets else "the plan has no targets:"
            problems.append(Problem(f"{place}.target", f"'{fault.target}' is no target; {hint}"))
    faults = [fault.name for fault in plan.faults]
    rules = [*_with_places(plan)]
    rules += [(f"steady_state[{index}]", rule) for index, rule in enumerate(plan.steady_state)]
    rules += [(f"abort[{index}]", condition.rule) for index, condition in enumerate(plan.abort)]
    for place, rule in rules:
        if isinstance(rule, RecoveryObjective):
            labels: tuple[str, ...] = (rule.fault,)
            allowed, what = faults, "fault"
        else:
            labels = rule.scope.labels if rule.scope else ()
            is_after = rule.scope is not None and rule.scope.kind == "after"
            allowed, what = (faults, "fault") if is_after else ([*plan.labels()], "step or fault")
            problems += _unknown_subject(plan, rule, place)
            if rule.measure.kind == "probe" and (problem := probe_problem(plan, rule.measure)):
                problems.append(Problem(place, f"{problem} (in: {rule.text})"))
        for label in labels:
            if label not in allowed:
                hint = did_you_mean(label, allowed) if allowed else "the plan has none"
                problems.append(Problem(place, f"'{label}' is no {what}; {hint}"))
    return problems


def _unknown_subject(plan: Plan, rule: Objective, place: str) -> list[Problem]:
    known = request_shares(plan.requests)
    if rule.subject in (None, EACH_REQUEST) or not known or rule.subject in known:
        return []
    assert rule.subject is not None
    return [
        Problem(place, f'"{rule.subject}" is no request of the plan; {did_you_mean(rule.subject, known)}')
    ]


def _baseline_problems(plan: Plan, expected: Expected) -> list[Problem]:
    """The baseline must be long enough to say what is normal."""
    uses = any("baseline" in _labels(rule) or _is_relative(rule) for rule in plan.objectives)
    if not (plan.faults or uses or any(_is_relative(rule) for rule in plan.steady_state)):
        return []
    baseline, least_s = expected.baseline, expected.least_baseline_s
    if baseline.length_s >= least_s - 1e-9:
        return []
    place = "load"
    if plan.faults:
        first, fault = min(plan.placed_faults(), key=lambda placed: expected.onset_s(placed[1]))
        place = f"{first}.{'when' if fault.when else 'at'}"
    begins = f"it begins at {format_duration(baseline.starts_s)}, after warm-up and with the step in force"
    wanted = (
        f"{format_duration(least_s)} are needed; shift the fault or the step, or set baseline: or warm_up:"
    )
    text = f"leaves a baseline of {format_duration(round(baseline.length_s, 6))} ({begins}); {wanted}"
    return [Problem(place, text)]


def _stress_problems(plan: Plan) -> list[Problem]:
    load = plan.load
    if load is None or load.shape != "stress" or load.steps[0].duration_s >= WINDOW_S:
        return []
    every, least = format_duration(load.steps[0].duration_s), format_duration(WINDOW_S)
    return [
        Problem(
            "load.stress.every", f"'{every}' is too short to see whether a level holds; give at least {least}"
        )
    ]


def _abort_problems(plan: Plan) -> list[Problem]:
    """An abort condition is watched live, from the first second on, when there is no baseline yet."""
    text = "cannot be compared with the baseline; give a bound of its own, such as 60% or 2s"
    return [
        Problem(f"abort[{index}]", f"{text} (in: {condition.text})")
        for index, condition in enumerate(plan.abort)
        if condition.rule.bound.relative in ("factor", "plus")
    ]


def _infinite_percentiles(plan: Plan) -> list[Problem]:
    """A plain percentile is infinite as soon as more requests fail than it leaves out."""
    warnings = []
    for place, rule in _with_places(plan):
        if not isinstance(rule, Objective) or rule.measure.quantile is None or rule.measure.ok_only:
            continue
        left_out = 1 - rule.measure.quantile
        for other_place, other in _with_places(plan):
            if (
                not isinstance(other, Objective)
                or other.measure.kind != "error_rate"
                or other.scope != rule.scope
            ):
                continue
            tolerates = other.op in ("<", "<=") and other.bound.relative is None
            if tolerates and rule.op in ("<", "<=") and other.bound.value > left_out + 1e-12:
                name = f"p{rule.measure.quantile * 100:g}"
                text = (
                    f"failed requests rank as infinitely slow, and {other_place} tolerates more of them than "
                    f"{name} leaves out; {name}(ok) is about successes only (in: {rule.text})"
                )
                warnings.append(Problem(place, text))
    return warnings


def _labels(rule: Objective | RecoveryObjective) -> tuple[str, ...]:
    return rule.scope.labels if isinstance(rule, Objective) and rule.scope else ()


def _is_relative(rule: Objective | RecoveryObjective) -> bool:
    return isinstance(rule, Objective) and rule.bound.relative in ("factor", "plus")
