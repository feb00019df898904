"""What happened when: the faults, the warm-up, the baseline, the end; from the events of a run.

All stretches are in seconds of the run. A window of a second belongs to a stretch only if the whole
second lies in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from chaos_locust.events import (
    ClockOffset,
    EffectSeen,
    FaultEvent,
    LoadStopped,
    Recording,
    RunEnded,
)
from chaos_locust.faults.base import Fault
from chaos_locust.judge.warm_up import warmed_up_s
from chaos_locust.plan.model import Plan
from chaos_locust.plan.objectives import Scope


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `starts_s` to `ends_s`; empty when that is not later."""

    starts_s: float
    ends_s: float

    @property
    def seconds(self) -> range:
        """The whole seconds in it. Rounded to the microsecond, for 0.1 + 0.2 is not 0.3."""
        return range(math.ceil(round(self.starts_s, 6)), math.floor(round(self.ends_s, 6)))

    def within(self, other: Stretch) -> Stretch:
        """What both have in common."""
        return Stretch(max(self.starts_s, other.starts_s), min(self.ends_s, other.ends_s))

    def until(self, end_s: float) -> Stretch:
        return replace(self, ends_s=min(self.ends_s, end_s))


@dataclass(frozen=True, slots=True)
class FaultCourse:
    """What became of one fault. Times None: never came. seen: it acted, and the load met it."""

    fault: Fault
    due_s: float | None = None
    asked_s: float | None = None
    active_s: float | None = None
    revert_asked_s: float | None = None
    reverted_s: float | None = None
    state: str = "planned"
    detail: str = ""
    mechanism: bool | None = None
    use: bool | None = None
    effect: str = ""

    @property
    def ran(self) -> bool:
        return self.active_s is not None

    @property
    def seen(self) -> bool:
        return self.mechanism is True and self.use is True

    @property
    def acted(self) -> tuple[float, float] | None:
        """From when it may have acted until it was surely over, inf: never; None: it did not act."""
        if self.asked_s is None or self.state in ("failed", "skipped"):
            return None
        over_s = self.active_s if self.fault.instant else self.reverted_s
        return self.asked_s, math.inf if over_s is None else over_s

    @property
    def dirty(self) -> bool:
        """It could not be undone, or nobody knows: it may still act."""
        may_act = self.state in ("asked", "active", "revert_asked") and not self.fault.instant
        return self.state == "dirty" or may_act

    def take(self, event: FaultEvent) -> FaultCourse:
        """With what `event` tells. The first instant of each state counts."""
        changed = replace(self, state=event.state, detail=event.detail or self.detail)
        match event.state:
            case "due" if self.due_s is None:
                return replace(changed, due_s=event.t_s)
            case "asked" if self.asked_s is None:
                return replace(changed, asked_s=event.t_s)
            case "active" if self.active_s is None:
                return replace(changed, active_s=event.t_s)
            case "revert_asked" if self.revert_asked_s is None:
                return replace(changed, revert_asked_s=event.t_s)
            case "reverted" if self.reverted_s is None:
                return replace(changed, reverted_s=event.t_s)
        return changed


@dataclass(frozen=True, slots=True)
class Course:
    """The course of a run, or of one that still goes on (`reason` is then None).

    warmed_up_s: where judging starts. load_end_s: no arrivals after it. first_onset_s: when the first
    fault was asked for; None: never. cut: the load ended before its plan. clock_error_s: how far any
    worker's second may be from ours.
    """

    plan: Plan
    faults: Mapping[str, FaultCourse]
    warmed_up_s: float
    load_end_s: float
    clock_error_s: float
    reason: str | None
    end_detail: str
    complete: bool
    live: bool

    @property
    def cut(self) -> bool:
        """The load ended before its plan."""
        load = self.plan.load
        short = load is not None and self.load_end_s < load.duration_s - 1
        return not self.live and (self.reason != "finished" or short)

    def cuts(self, scope: Scope, stretch: Stretch) -> bool:
        """Whether that end cut this scope short."""
        if not self.cut or (self.reason == "baseline_deviated" and "baseline" in scope.labels):
            return False
        planned_s = [
            f.active_s + f.fault.duration_s
            for f in self.faults_named(scope)
            if f.active_s is not None and f.fault.duration_s is not None and scope.kind == "during"
        ]
        return stretch.ends_s > self.load_end_s - 1 or any(end_s > stretch.ends_s + 1 for end_s in planned_s)

    @property
    def onsets_s(self) -> list[tuple[float, str]]:
        """When each fault that was tried may have begun to act, in order."""
        return sorted((f.asked_s, name) for name, f in self.faults.items() if f.asked_s is not None)

    @property
    def run(self) -> Stretch:
        return Stretch(self.warmed_up_s, self.load_end_s)

    @property
    def baseline(self) -> Stretch:
        """From the end of the warm-up to the first onset, at the load step in force there; without a fault
        to the end of the step in force at the end of the warm-up."""
        onsets = self.onsets_s
        planned = [f.fault.at_s for f in self.faults.values() if f.fault.at_s is not None]
        if onsets:
            end_s = onsets[0][0] - self.clock_error_s
        elif self.faults and not self.live:  # skipped, or never came to it
            end_s = min([*planned, self.load_end_s])
        elif self.faults:
            end_s = self.load_end_s
        else:
            step = self.plan.load.step_at(self.warmed_up_s) if self.plan.load else None
            end_s = step.ends_s if step else self.load_end_s
        end_s = min(end_s, self.load_end_s)
        start_s = self.warmed_up_s
        if self.plan.load is not None:
            for step in self.plan.load.steps:
                if step.starts_s < end_s - 1e-9 and start_s < step.starts_s:
                    start_s = step.starts_s
        return Stretch(start_s, end_s)

    def next_onset_s(self, after_s: float) -> float | None:
        """The first onset later than `after_s`."""
        return next((at_s for at_s, _ in self.onsets_s if at_s > after_s), None)

    def phase(self, label: str) -> Stretch | None:
        """The stretch of a label; None when there was none (a fault that was not injected).

        A fault: from confirmed active to the asking for its end, for what lies between asked and
        confirmed is transition. An instant one has no duration of its own: to the next onset or the end.
        """
        if label == "run":
            return self.run
        if label == "baseline":
            return self.baseline
        if label in self.faults:
            return self._fault_phase(self.faults[label])
        steps = self.plan.load.steps if self.plan.load else ()
        for step in steps:
            if step.name == label:
                return Stretch(step.starts_s, step.ends_s).within(self.run)
        return None

    def _fault_phase(self, course: FaultCourse) -> Stretch | None:
        if course.active_s is None or course.asked_s is None:
            return None
        if course.fault.instant:
            next_s = self.next_onset_s(course.asked_s)
            end_s = self.load_end_s if next_s is None else next_s
        else:
            ends = [t for t in (course.revert_asked_s, course.reverted_s) if t is not None]
            end_s = min([*ends, self.load_end_s + self.clock_error_s])
        inside = Stretch(course.active_s + self.clock_error_s, end_s - self.clock_error_s)
        return inside.within(self.run)

    def after(self, name: str) -> Stretch | None:
        """From when a fault was surely over (an instant one: had begun) to the next onset or the end."""
        course = self.faults[name]
        over_s = course.active_s if course.fault.instant else course.reverted_s
        if over_s is None or course.asked_s is None:
            return None
        next_s = self.next_onset_s(max(over_s, course.asked_s))
        end_s = self.load_end_s if next_s is None else next_s - self.clock_error_s
        return Stretch(over_s + self.clock_error_s, end_s).within(self.run)

    def scope(self, scope: Scope) -> Stretch | None:
        """Where an objective is judged, before the boundary guard; None when a label of it never was."""
        if scope.kind == "after":
            return self.after(scope.labels[0])
        found = self.run
        for label in scope.labels:
            phase = self.phase(label)
            if phase is None:
                return None
            found = found.within(phase)
        return found

    def guarded(self, stretch: Stretch, guard_s: float) -> Stretch:
        """Without what was due within `guard_s` before an onset that follows: it can have met the fault."""
        for onset_s, _ in self.onsets_s:
            if onset_s - self.clock_error_s >= stretch.ends_s - 1e-6:
                return stretch.until(onset_s - self.clock_error_s - guard_s)
        return stretch

    def faults_named(self, scope: Scope) -> list[FaultCourse]:
        """The faults that a scope depends on."""
        return [self.faults[label] for label in scope.labels if label in self.faults]

    def level(self, stretch: Stretch) -> float | None:
        """The one load level in force all over `stretch`; None when it changes or is not planned."""
        if self.plan.load is None:
            return None
        levels = set()
        for step in self.plan.load.steps:
            if step.starts_s < stretch.ends_s - 1e-9 and stretch.starts_s < step.ends_s - 1e-9:
                levels |= {step.start_level, step.end_level}
        return levels.pop() if len(levels) == 1 else None


def course_of(plan: Plan, recording: Recording, now_s: float | None = None) -> Course:
    """The course of a whole run; with `now_s` of one that goes on, as far as it has come."""
    faults = {fault.name: FaultCourse(fault) for fault in plan.faults}
    reason: str | None = None
    detail, error_s = "", 0.0
    ends = [] if now_s is None else [now_s]
    for event in recording.events:
        if isinstance(event, FaultEvent) and event.fault in faults:
            faults[event.fault] = faults[event.fault].take(event)
        elif isinstance(event, EffectSeen) and event.fault in faults:
            seen = replace(faults[event.fault], mechanism=event.mechanism, use=event.use)
            faults[event.fault] = replace(seen, effect=event.detail)
        elif isinstance(event, ClockOffset):
            error_s = max(error_s, event.error_s)
        elif isinstance(event, LoadStopped | RunEnded):
            ends.append(event.t_s)
            if isinstance(event, RunEnded):
                reason, detail = event.reason, event.detail
    load_end_s = min(ends) if ends else max((second + 1 for second, _ in recording.windows), default=0)
    if plan.load is not None:
        load_end_s = min(load_end_s, plan.load.duration_s)
    warm_s = warmed_up_s(plan, recording.windows, recording.events, load_end_s)
    live = now_s is not None
    return Course(plan, faults, warm_s, load_end_s, error_s, reason, detail, recording.complete, live)
