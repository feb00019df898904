"""`invariants:` of a plan: the history of a load run, judged with the times of the faults beside it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from chaos_locust.data import within
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.events import HISTORY_TOPIC, Note, ProbeRead, Recording, WorkerEvent
from chaos_locust.journal import HISTORY_NAME
from chaos_locust.judge.context import Context
from chaos_locust.judge.course import Course, course_of
from chaos_locust.judge.series import Series
from chaos_locust.judge.trust import judge_trust
from chaos_locust.judge.verdict import Finding, Outcome
from chaos_locust.plan.grammar import parse_objective
from chaos_locust.plan.invariants import Invariant, PlannedInvariant
from chaos_locust.plan.model import Plan
from chaos_locust.units import format_duration
from invariants.checkers.base import Checked, Checker, Violation, checked_by
from invariants.checkers.rates import LatencyBounded
from invariants.history import Band, History, InvalidHistory, Operation, read_history
from invariants.load_checkers import judges, made, shown_options

SOURCE = "invariants"
SHOWN_VIOLATIONS = 2
SHOWN_OPERATIONS = 4


def problems(plan: Plan) -> list[Problem]:
    """Checkers that there are none of, and options that they do not have."""
    found: list[Problem] = []
    for index, invariant in enumerate(plan.invariants):
        try:
            made(invariant.check, invariant.options)
        except InvalidPlan as error:
            found += within(f"invariants[{index}]", error.problems)
    return found


def planned(plan: Plan) -> list[PlannedInvariant]:
    """What `problems` has nothing against, with all its options."""
    found = []
    for invariant in plan.invariants:
        try:
            checker, entry = made(invariant.check, invariant.options), judges(invariant.check)
        except InvalidPlan:
            continue
        options = shown_options(invariant.check, checker)
        found.append(PlannedInvariant(invariant, entry.statement, entry.kinds, options))
    return found


def findings(plan: Plan, recording: Recording) -> list[Finding]:
    """One for each invariant. What cannot be judged is INCONCLUSIVE and says why."""
    course = course_of(plan, recording)
    try:
        if recording.folder is None:
            raise InvalidHistory("there is no history: the run was recorded nowhere")
        history = read_history(recording.folder / HISTORY_NAME)
    except InvalidHistory as error:
        return [_finding(invariant, Outcome.INCONCLUSIVE, str(error)) for invariant in plan.invariants]
    history = replace(history, faults=_bands(course))
    return [_judge(invariant, history, recording, course) for invariant in plan.invariants]


def _judge(invariant: Invariant, history: History, recording: Recording, course: Course) -> Finding:
    try:
        checker, entry = made(invariant.check, invariant.options), judges(invariant.check)
    except InvalidPlan as error:  # it was there when the run began
        return _finding(invariant, Outcome.INCONCLUSIVE, "; ".join(map(str, error.problems)))
    kinds, keys, run = entry.kinds, invariant.keys, course.run

    def wanted(op: Operation) -> bool:
        if entry.measures and not run.starts_s <= op.start_s < run.ends_s:
            return False
        of_key = keys is None or (op.key is not None and fnmatchcase(op.key, keys))
        return of_key and (not kinds or op.kind in kinds)

    part = history.only(wanted)
    count = f"{len(part):,} operations"
    if not len(part):
        reason = "users wrote down no operation that it looks at"
        reason += f" ({', '.join(kinds)})" if kinds else ""
        return _finding(invariant, Outcome.INCONCLUSIVE, reason)
    try:
        checked = checked_by(checker, part)
    except Exception as error:  # operations that are not what the checker expects, whatever comes of it
        reason = f"{count} that it cannot judge: {type(error).__name__}: {error}"
        return _finding(invariant, Outcome.INCONCLUSIVE, reason, part)
    doubts = _gaps(recording)
    if entry.measures:
        doubts += _trouble(recording, course, checker)
    if checked.violations:
        return _violated(invariant, checked, part, doubts)
    if doubts or checked.inconclusive:
        reason = "; ".join([*doubts, *filter(None, [checked.inconclusive])])
        return _finding(invariant, Outcome.INCONCLUSIVE, f"{count}: {reason}", part)
    seen = [f"{number:,} {name}" for name, number in checked.seen.items() if name != "operations"]
    return _finding(invariant, Outcome.UPHELD, f"nothing against it in {', '.join([count, *seen])}", part)


def _violated(invariant: Invariant, checked: Checked, part: History, doubts: Sequence[str]) -> Finding:
    shown = "; ".join(_told(violation, part) for violation in checked.violations[:SHOWN_VIOLATIONS])
    if len(checked.violations) > SHOWN_VIOLATIONS:
        shown += f"; and {len(checked.violations) - SHOWN_VIOLATIONS:,} more violations"
        shown += _counted(checked.violations, part)
    operations = [op for violation in checked.violations for op in violation.operations]
    if doubts:
        reason = f"{'; '.join(doubts)}, which may be why it was seen that {shown}"
        return _finding(invariant, Outcome.INCONCLUSIVE, reason, part)
    return replace(
        _finding(invariant, Outcome.DEVIATED, shown, part),
        stretch=_stretch(operations) if operations else None,
    )


def _told(violation: Violation, history: History) -> str:
    """`2 accepted messages never came out [local/3: enqueue 7 -> ok at 3.214 s; ...]; meanwhile acted ...`"""
    named = [f"{op} at {op.start_s + op.widened_s:.3f} s" for op in violation.operations[:SHOWN_OPERATIONS]]
    if len(violation.operations) > SHOWN_OPERATIONS:
        named.append(f"{len(violation.operations) - SHOWN_OPERATIONS:,} more")
    title = f"{violation.anomaly}: {violation.title}" if violation.anomaly else violation.title
    return f"{title} [{'; '.join(named)}]{_meanwhile(violation.operations, history)}"


def _counted(violations: Sequence[Violation], history: History) -> str:
    """In how many of them each fault acted."""
    counts = Counter(name for each in violations for name, _, _ in _acted(each.operations, history))
    told = [f"{name} acted in {count:,}" for name, count in counts.items()]
    return f" (of all {len(violations):,}, {', '.join(told)})" if told else ""


def _meanwhile(operations: Sequence[Operation], history: History) -> str:
    """Which faults acted at the time of these operations, and which ones only between them."""
    if not history.faults or not operations:
        return ""
    at, (from_s, to_s) = _acted(operations, history), _stretch(operations)
    between = [band for band in history.faults if _meet(band, from_s, to_s) and band not in at]
    told = f", while {_named(at)} acted" if at else ""
    told += f", {_named(between)} acted in between" if between else ""
    return told or f", while no fault acted ({_named(history.faults)} at other times)"


def _acted(operations: Sequence[Operation], history: History) -> list[Band]:
    """The faults that acted at the time of one of these operations."""
    spans = [_stretch([op]) for op in operations]
    return [band for band in history.faults if any(_meet(band, *span) for span in spans)]


def _meet(band: Band, from_s: float, to_s: float) -> bool:
    return band[1] <= to_s and band[2] >= from_s


def _named(bands: Sequence[Band]) -> str:
    return ", ".join(f"{name} {_span(since_s, until_s)}" for name, since_s, until_s in bands)


def _stretch(operations: Sequence[Operation]) -> tuple[float, float]:
    """The seconds in which they were; of those without an answer only when they began is known."""
    ends = [op.start_s if math.isinf(op.end_s) else op.end_s for op in operations]
    return min(op.start_s for op in operations), max(ends)


def _span(since_s: float, until_s: float) -> str:
    return f"from {since_s:.1f} s" if math.isinf(until_s) else f"{since_s:.1f}-{until_s:.1f} s"


def _bands(course: Course) -> tuple[Band, ...]:
    return tuple((name, *fault.acted) for name, fault in course.faults.items() if fault.acted is not None)


def _gaps(recording: Recording) -> list[str]:
    """Why operations may be missing from the history: what they did may explain what others saw."""
    gaps = [] if recording.complete else ["the recording breaks off before the end of the run"]
    for event in recording.events:
        if isinstance(event, WorkerEvent) and event.state == "lost":
            gaps.append(f"what worker {event.worker} did last is not known, for it was lost")
        elif isinstance(event, Note) and event.topic == HISTORY_TOPIC:
            gaps.append(event.detail)
    return gaps


def _trouble(recording: Recording, course: Course, checker: Checker) -> tuple[str, ...]:
    """Why the load generator may have been slow, or in error, itself: as for an objective of that limit."""
    plan = course.plan
    if isinstance(checker, LatencyBounded):
        objective = parse_objective(f"max < {format_duration(checker.limit_s)} during run")
        plan = plan.model_copy(update={"objectives": (*plan.objectives, objective)})
    probes = tuple(event for event in recording.events if isinstance(event, ProbeRead))
    context = Context(plan, course, Series(recording.windows, plan.load), probes)
    return judge_trust(context, recording, course.run.seconds).doubt.reasons


def _finding(invariant: Invariant, outcome: Outcome, reason: str, part: History | None = None) -> Finding:
    samples = None if part is None else len(part)
    return Finding(SOURCE, invariant.text, outcome, reason, invariant.severity, samples=samples)
