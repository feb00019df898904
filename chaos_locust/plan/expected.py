"""When what is to be expected, and how many requests in it: from the plan alone, before anything runs.

The rules are those of the judge, with the planned times in place of the confirmed ones. A fault that waits
for a condition is expected as early as it can come.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Literal

from chaos_locust.faults.base import Fault
from chaos_locust.plan.model import Plan
from chaos_locust.plan.objectives import Scope
from chaos_locust.plan.schedule import Schedule

LEAST_WARM_UP_S = 10.0
LEAST_BASELINE_S = 30.0
WINDOW_S = 5.0  # of the steady state
HOLD_S = 10.0  # so long windows must begin steady to be recovered
CONFIRMED_AFTER_S = (
    0.05  # a fault acts, and is undone, so long after it is due: its first second never counts
)
SEEN_S = HOLD_S + WINDOW_S  # until the last of these windows is over
RECOVERY_SEEN_S = SEEN_S + 2.0  # and most of its requests have been answered


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `starts_s` to `ends_s` seconds of the run; empty when that is not later."""

    starts_s: float
    ends_s: float

    @property
    def length_s(self) -> float:
        return max(self.ends_s - self.starts_s, 0.0)

    @property
    def seconds(self) -> range:
        """The whole seconds in it: what the judge has windows of."""
        return range(ceil(round(self.starts_s, 6)), floor(round(self.ends_s, 6)))

    def within(self, other: Stretch) -> Stretch:
        return Stretch(max(self.starts_s, other.starts_s), min(self.ends_s, other.ends_s))


@dataclass(frozen=True, slots=True)
class PlannedPhase:
    """A label and when it is expected. exact: False when the run itself decides its start or end."""

    label: str
    kind: Literal["run", "warm_up", "baseline", "step", "fault"]
    starts_s: float
    ends_s: float
    exact: bool


class Expected:
    """The expected course of a plan with a load."""

    def __init__(self, plan: Plan) -> None:
        """Raises ValueError for a plan without load: only the run itself will show how long it is."""
        if plan.load is None:
            raise ValueError("the plan has no load")
        self.plan, self.load = plan, plan.load
        self.warmed_up_s = min(
            LEAST_WARM_UP_S if plan.warm_up_s is None else plan.warm_up_s, self.load.duration_s
        )
        self.least_baseline_s = LEAST_BASELINE_S if plan.baseline_s is None else plan.baseline_s
        self.run = Stretch(self.warmed_up_s, self.load.duration_s)
        self._schedule = Schedule(self.load, plan.seed) if self.load.workload == "open" else None

    def onset_s(self, fault: Fault) -> float:
        """When a fault begins; one that waits for a condition: the earliest that is possible."""
        if fault.at_s is not None:
            return fault.at_s
        when = fault.when
        assert when is not None, "a fault has either a time or a condition"
        if when.fault is None:
            return self.warmed_up_s + max(self.least_baseline_s, when.for_s)
        other = self.plan.fault(when.fault)
        since_s = self.onset_s(other) if when.state == "active" else self.over_s(other)
        wait_s = RECOVERY_SEEN_S if when.state == "recovered" else when.for_s
        return since_s + CONFIRMED_AFTER_S + wait_s

    def is_timed(self, fault: Fault) -> bool:
        """Whether the plan says when it comes, but for how long confirming takes."""
        if fault.at_s is not None:
            return True
        when = fault.when
        if when is None or when.fault is None or when.state == "recovered":
            return False
        return self.is_timed(self.plan.fault(when.fault))

    def is_over_before(self, one: Fault, other: Fault) -> bool:
        """Whether `other` waits until `one` is over, itself or through the faults it waits for."""
        when = other.when
        if when is None or when.fault is None:
            return False
        if when.fault == one.name and when.state in ("over", "recovered"):
            return True
        return self.is_over_before(one, self.plan.fault(when.fault))

    def over_s(self, fault: Fault) -> float:
        """When it is over; an instant one: when it came."""
        return self.onset_s(fault) + (fault.duration_s or 0.0)

    def next_onset_s(self, after_s: float) -> float | None:
        """The first onset later than `after_s`."""
        later = [self.onset_s(fault) for fault in self.plan.faults if self.onset_s(fault) > after_s]
        return min(later, default=None)

    @property
    def baseline(self) -> Stretch:
        """From the end of the warm-up to the first onset, at the step in force there."""
        if self.plan.faults:
            end_s = min(min(self.onset_s(fault) for fault in self.plan.faults), self.load.duration_s)
        else:
            step = self.load.step_at(self.warmed_up_s)
            end_s = step.ends_s if step else self.load.duration_s
        begun = [step.starts_s for step in self.load.steps if step.starts_s < end_s]
        return Stretch(max(self.warmed_up_s, *begun), end_s)

    def phase(self, label: str) -> Stretch:
        """Raises KeyError for a label that is none."""
        if label == "run":
            return self.run
        if label == "baseline":
            return self.baseline
        for step in self.load.steps:
            if step.name == label:
                return Stretch(step.starts_s, step.ends_s).within(self.run)
        fault = self.plan.fault(label)
        onset_s = self.onset_s(fault)
        end_s = self.next_onset_s(onset_s) if fault.instant else self.over_s(fault)
        return Stretch(onset_s, self.load.duration_s if end_s is None else end_s).within(self.run)

    def scope(self, scope: Scope) -> Stretch:
        """Where an objective is judged, before the boundary guard. Raises KeyError for an unknown label."""
        if scope.kind == "after":
            over_s = self.over_s(self.plan.fault(scope.labels[0]))
            end_s = self.next_onset_s(over_s)
            begins_s = over_s + CONFIRMED_AFTER_S
            return Stretch(begins_s, self.load.duration_s if end_s is None else end_s).within(self.run)
        found = self.run
        for label in scope.labels:
            found = found.within(self.phase(label))
            for fault in self.plan.faults:
                if fault.name == label:
                    begins_s = self.onset_s(fault) + CONFIRMED_AFTER_S
                    found = found.within(Stretch(begins_s, self.load.duration_s))
        return found

    def guarded(self, stretch: Stretch, guard_s: float) -> Stretch:
        """Without what is due within `guard_s` before the onset that follows, for it can meet the fault."""
        onsets = [self.onset_s(fault) for fault in self.plan.faults]
        following = min((onset_s for onset_s in onsets if onset_s >= stretch.ends_s - 1e-6), default=None)
        if following is None:
            return stretch
        return Stretch(stretch.starts_s, min(stretch.ends_s, following - guard_s))

    def arrivals(self, stretch: Stretch) -> int | None:
        """How many arrivals the whole seconds of `stretch` have; None in a closed workload."""
        seconds = stretch.seconds
        if self._schedule is None:
            return None
        if not seconds:
            return 0
        return round(self._schedule.offered_by(seconds.stop) - self._schedule.offered_by(seconds.start))

    def level(self, stretch: Stretch) -> float | None:
        """The one level all over `stretch`; None when it changes."""
        levels: set[float] = set()
        for step in self.load.steps:
            if step.starts_s < stretch.ends_s - 1e-9 and stretch.starts_s < step.ends_s - 1e-9:
                levels |= {step.start_level, step.end_level}
        return levels.pop() if len(levels) == 1 else None

    def phases(self) -> list[PlannedPhase]:
        """Every label with its time, and the warm-up."""
        known = self.plan.warm_up_s is not None
        timed = all(fault.at_s is not None for fault in self.plan.faults)
        baseline = self.baseline
        found = [PlannedPhase("run", "run", self.run.starts_s, self.run.ends_s, known)]
        found.append(PlannedPhase("warm-up", "warm_up", 0.0, self.warmed_up_s, known))
        found.append(
            PlannedPhase("baseline", "baseline", baseline.starts_s, baseline.ends_s, known and timed)
        )
        for step in self.load.steps:
            found.append(PlannedPhase(step.name, "step", step.starts_s, step.ends_s, True))
        for fault in self.plan.faults:
            stretch = self.phase(fault.name)
            found.append(
                PlannedPhase(fault.name, "fault", stretch.starts_s, stretch.ends_s, fault.at_s is not None)
            )
        return found
