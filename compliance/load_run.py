"""`compliance:` of a plan: what was measured during a load run, judged by phase: before, during, after its
faults.

A control is upheld when each of its checks held whenever it was looked at, and was looked at in every phase;
deviated as soon as one failed; else inconclusive.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos_locust.errors import ChaosError, InvalidPlan, Problem
from chaos_locust.events import Recording
from chaos_locust.journal import CONTROLS_NAME
from chaos_locust.judge.course import Course, course_of
from chaos_locust.judge.verdict import Finding, Outcome
from chaos_locust.plan.compliance import AssertedControls
from chaos_locust.plan.model import Plan
from compliance.auditor import unseen_on_bad
from compliance.catalogue import Framework, load
from compliance.checks import Check, judge
from compliance.during import Taken, checks_of, read_taken
from compliance.target import Target, load_target

SOURCE = "compliance"
BEFORE, AFTER, BETWEEN = "before the faults", "after the faults", "between the faults"
SHOWN_FAILURES = 2


@dataclass(frozen=True, slots=True)
class Look:
    """One check at one time. held: None: it is not known, for `text`."""

    phase: str
    taken: Taken
    held: bool | None
    text: str


def problems(plan: Plan, offline: bool = False) -> list[Problem]:
    """A framework, profile or controls that there are none of, and a target that cannot be read. offline: the
    target is left alone."""
    asked = plan.compliance
    if asked is None:
        return []
    try:
        framework = load(asked.framework)
    except ChaosError as error:
        return [Problem("compliance.framework", str(error))]
    found: list[Problem] = []
    try:
        framework.profile(asked.profile)
    except ChaosError as error:
        found.append(Problem("compliance.profile", str(error)))
    told = checks_of(asked.framework, asked.controls, asked.checks)
    for index, control in enumerate(asked.controls):
        place = f"compliance.controls[{index}]"
        try:
            framework.control(control)
        except ChaosError as error:
            found.append(Problem(place, str(error)))
            continue
        if not told[control]:
            among = f" among {', '.join(asked.checks)}" if asked.checks else ""
            text = f"nothing that can be measured{among} tells of {control}; leave it out"
            found.append(Problem(place, text))
    telling = {check.id for each in checks_of(asked.framework, asked.controls).values() for check in each}
    for index, name in enumerate(asked.checks):
        if name not in telling:
            allowed = ", ".join(sorted(telling)) or "none"
            text = f"'{name}' tells of none of these controls; allowed: {allowed}"
            found.append(Problem(f"compliance.checks[{index}]", text))
    if offline:
        return found
    try:
        target = load_target(Path(asked.target), os.environ)
    except InvalidPlan as error:
        return [
            *found,
            *(Problem(f"compliance.target: {each.place}", each.message) for each in error.problems),
        ]
    for check in {check.id: check for each in told.values() for check in each}.values():
        found += _missing(check, target, asked)
    return found


def findings(plan: Plan, recording: Recording) -> list[Finding]:
    """One for each control."""
    asked = plan.compliance
    assert asked is not None
    course = course_of(plan, recording)
    framework = load(asked.framework)
    try:
        if recording.folder is None:
            raise ChaosError("the run was recorded nowhere")
        taken = list(read_taken(recording.folder / CONTROLS_NAME))
    except ChaosError as error:
        return [_finding(asked, framework, each, Outcome.INCONCLUSIVE, str(error)) for each in asked.controls]
    parameters = framework.profile(asked.profile).parameters
    told = checks_of(asked.framework, asked.controls, asked.checks)
    return [
        _judge(asked, framework, control, told[control], taken, parameters, course)
        for control in asked.controls
    ]


def _judge(
    asked: AssertedControls,
    framework: Framework,
    control: str,
    bound: Sequence[Check],
    taken: Sequence[Taken],
    parameters: Mapping[str, Any],
    course: Course,
) -> Finding:
    doubts, failures, counted = [], [], 0
    for check in bound:
        looks = _looks(check, taken, parameters, course)
        failures += [look for look in looks if look.held is False]
        known = [look for look in looks if look.held is not None]
        counted += len(known)
        for phase in _phases(course):
            if not any(look.phase == phase for look in known):
                why = next((look.text for look in looks if look.phase == phase), "it was not looked at")
                doubts.append(f"{check.id} is not known {phase}: {why}")
        if any(look.held for look in known):
            unseen = _unseen(check, taken, parameters)
            if unseen:
                doubts.append(f"{check.id} is not believed, for on a bad target it did not see it: {unseen}")
    if failures:
        shown = "; ".join(
            f"{look.phase} ({look.taken.from_s:.1f}-{look.taken.to_s:.1f} s): {look.text}"
            for look in failures[:SHOWN_FAILURES]
        )
        more = f"; and {len(failures) - SHOWN_FAILURES} more times" if len(failures) > SHOWN_FAILURES else ""
        stretch = failures[0].taken.from_s, failures[-1].taken.to_s
        return _finding(asked, framework, control, Outcome.DEVIATED, shown + more, stretch)
    if doubts:
        return _finding(asked, framework, control, Outcome.INCONCLUSIVE, "; ".join(doubts))
    names = ", ".join(check.id for check in bound)
    text = f"{names} held {counted} of {counted} times, {', '.join(_phases(course))}"
    return _finding(asked, framework, control, Outcome.UPHELD, text)


def _looks(check: Check, taken: Sequence[Taken], parameters: Mapping[str, Any], course: Course) -> list[Look]:
    found = []
    for each in taken:
        if each.measurement.measure != check.measure or each.on_bad:
            continue
        outcome = judge(check, each.measurement, parameters)
        held = None if outcome.answer == "not_known" else outcome.answer == "held"
        found.append(Look(_phase(each, course), each, held, outcome.text))
    return found


def _unseen(check: Check, taken: Sequence[Taken], parameters: Mapping[str, Any]) -> str:
    for each in taken:
        if each.on_bad and each.measurement.measure == check.measure:
            return unseen_on_bad(check, each.measurement, parameters)
    return "its positive control was not taken"


def _phase(taken: Taken, course: Course) -> str:
    """Named after the fault that acted at any time of it; of several, the last that was asked for."""
    bands = _bands(course)
    acted = [name for name, since_s, until_s in bands if since_s < taken.to_s and taken.from_s < until_s]
    if acted:
        return f"during {acted[-1]}"
    if not bands or taken.to_s <= bands[0][1]:
        return BEFORE
    return AFTER if taken.from_s >= max(until_s for *_, until_s in bands) else BETWEEN


def _phases(course: Course) -> list[str]:
    """Those in which something has to be known."""
    names = [f"during {name}" for name, since_s, until_s in _bands(course) if until_s > since_s]
    return [BEFORE, *names, AFTER] if names else [BEFORE]


def _bands(course: Course) -> list[tuple[str, float, float]]:
    """(fault, from, until) in the order of their onsets; what nobody saw the end of, until the load's."""
    found = []
    for name, fault in course.faults.items():
        if fault.acted is not None:
            since_s, until_s = fault.acted
            found.append((name, since_s, course.load_end_s if math.isinf(until_s) else until_s))
    return sorted(found, key=lambda band: band[1])


def _missing(check: Check, target: Target, asked: AssertedControls) -> list[Problem]:
    from compliance.measures.registry import measures

    measure = measures()[check.measure]()
    if parts := measure.lacks(target):
        return [Problem("compliance.target", f"names no {parts}, which {check.id} needs")]
    if measure.side_effect == "disruptive" and not asked.allow_disruptive:
        return [Problem("compliance.allow_disruptive", f"must be true for {check.id}: it {measure.says}")]
    return []


def _finding(
    asked: AssertedControls,
    framework: Framework,
    control: str,
    outcome: Outcome,
    reason: str,
    stretch: tuple[float, float] | None = None,
) -> Finding:
    title = f"{framework.title} {control}: {framework.controls[control].title}"
    return Finding(SOURCE, title, outcome, reason, asked.severity, subject=control, stretch=stretch)
