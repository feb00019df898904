"""What every rule is judged with: plan, course of the run, series, doubts; and the baseline's values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from chaos_locust.events import ProbeRead
from chaos_locust.judge.claims import Range
from chaos_locust.judge.course import Course, Stretch
from chaos_locust.judge.doubt import NO_DOUBT, Doubt
from chaos_locust.judge.outage import longest_outage
from chaos_locust.judge.series import Bad, Series
from chaos_locust.measure.histogram import NS
from chaos_locust.plan.model import Plan
from chaos_locust.plan.objectives import Measure, Objective
from chaos_locust.plan.samples import SMALLEST_FLOOR, samples_floor

FAILED = Bad("failed")
DROPPED = Bad("dropped")
SHORT = Bad("short")
_SHARES: Mapping[str, Bad] = {"error_rate": FAILED, "availability": FAILED, "dropped": DROPPED}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule is judged: the whole seconds `at`. exact: the stretch they were taken from. since_s: from
    when on a fault may have acted. cut: the run's end made it shorter than planned. left_out: requests of
    it that the boundary guard did not judge."""

    at: range
    exact: Stretch
    since_s: float
    cut: bool = False
    left_out: int = 0

    @classmethod
    def of(cls, at: range) -> Place:
        return cls(at, Stretch(at.start, at.stop), at.start)


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure's value over a stretch, as a range in its unit, and how many samples it rests on."""

    value: Range
    samples: int


@dataclass(frozen=True, slots=True)
class Context:
    plan: Plan
    course: Course
    series: Series
    probes: Sequence[ProbeRead] = ()
    doubt: Doubt = NO_DOUBT
    _references: dict[tuple[Measure, str | None], Measured | str] = field(default_factory=dict)

    def reference(self, measure: Measure, subject: str | None) -> Measured | str:
        """The baseline's value of a measure, or why there is none."""
        key = (measure, subject)
        if key not in self._references:
            self._references[key] = self._reference(measure, subject)
        return self._references[key]

    def bound(self, rule: Objective, subject: str | None) -> Range | str:
        """The bound in its unit, or why it is not known."""
        bound = rule.bound
        if bound.relative in (None, "offered"):
            return Range(bound.value, bound.value)
        found = self.reference(rule.measure, subject)
        if isinstance(found, str):
            return found
        return (
            found.value.scaled(bound.value) if bound.relative == "factor" else found.value.plus(bound.value)
        )

    def comparable(self, stretch: Stretch) -> bool:
        """Whether the load level all over `stretch` is the baseline's."""
        if self.plan.load is None:
            return True
        level = self.course.level(self.course.baseline)
        return level is not None and level == self.course.level(stretch)

    def measured(self, measure: Measure, subject: str | None, place: Place) -> Measured | None:
        """A measure's value there; None: nothing to measure."""
        kind, seconds = measure.kind, place.at
        if kind == "quantile":
            return self._quantile(measure, subject, seconds)
        if kind in _SHARES:
            tally = self.series.tally(_SHARES[kind], subject, seconds)
            if not tally.n:
                return None
            found = Range(tally.least / tally.n, tally.most / tally.n)
            if kind == "availability":
                found = Range(1 - found.most, 1 - found.least)
            return Measured(found, tally.n)
        if kind == "throughput":
            return self._throughput(subject, seconds)
        if kind == "outage":
            outage = longest_outage(self.series, subject, place.exact, place.since_s)
            if outage is None:
                return None
            return Measured(Range(*outage.interval), self.series.tally(FAILED, subject, seconds).n)
        if kind == "probe":
            return self._probe(measure, seconds)
        return self._mean_or_max(measure, subject, seconds)

    def _reference(self, measure: Measure, subject: str | None) -> Measured | str:
        baseline = self.course.baseline
        seconds = self.course.guarded(baseline, self.plan.timeout_s).seconds
        if measure.kind == "quantile":  # as its own bound: without what was due so shortly before the fault
            first = self.measured(measure, subject, Place.of(baseline.seconds))
            guard_s = self.plan.timeout_s if first is None else min(self.plan.timeout_s, first.value.most)
            seconds = self.course.guarded(baseline, guard_s).seconds
        found = self.measured(measure, subject, Place.of(seconds))
        floor = samples_floor(1 - measure.quantile) if measure.quantile is not None else SMALLEST_FLOOR
        if found is None:
            return "the baseline has no requests to compare with"
        if found.samples < floor:
            return f"the baseline has {found.samples} samples, {floor} are needed to compare with it"
        if math.isinf(found.value.most):
            return "the baseline's own value is infinite: too many of its requests failed"
        return found

    def _quantile(self, measure: Measure, subject: str | None, seconds: range) -> Measured | None:
        """Failures rank as infinitely slow; among the successes it is the order statistic's cell."""
        assert measure.quantile is not None
        n = self.series.tally(Bad("slow", ok_only=measure.ok_only), subject, seconds).n
        total = self.series.total(subject, seconds)
        if not n or total is None:
            return Measured(Range(math.inf, math.inf), n) if n else None
        rank = max(1, math.ceil(measure.quantile * n - 1e-9 * n))
        if rank > total.response.count:
            return Measured(Range(math.inf, math.inf), n)
        cell = total.response.quantile_edges(rank / total.response.count)
        assert cell is not None
        return Measured(Range(cell[0] / NS, min(cell[1] - 1, total.response.max_ns) / NS), n)

    def _mean_or_max(self, measure: Measure, subject: str | None, seconds: range) -> Measured | None:
        """Infinite when a request failed, unless only successes were asked for."""
        total = self.series.total(subject, seconds)
        bad = self.series.tally(FAILED, subject, seconds)
        if not bad.n or (measure.ok_only and (total is None or not total.ok)):
            return None
        response = total.response if total is not None else None
        found = None
        if response is not None:
            found = response.mean_s if measure.kind == "mean" else response.max_s
        if measure.ok_only and total is not None and found is not None:
            return Measured(Range(found, found), total.ok)
        most = math.inf if bad.most or found is None else found
        return Measured(Range(math.inf if bad.least or found is None else found, most), bad.n)

    def _throughput(self, subject: str | None, seconds: range) -> Measured | None:
        """Successes a second: of the schedule's arrivals in an open workload, else of requests."""
        if not len(seconds):
            return None
        if subject is None and self.series.open:
            tally = self.series.tally(SHORT, None, seconds)
        else:
            tally = self.series.tally(FAILED, subject, seconds)
        good = Range((tally.n - tally.most) / len(seconds), (tally.n - tally.least) / len(seconds))
        return Measured(good, tally.n) if tally.n else None

    def readings(self, measure: Measure, seconds: range) -> list[float | None]:
        """What a probe read in `seconds`; None where it could not read."""
        return [read.value if read.ok else None for read in self._read(measure, seconds)]

    def longest_gap_s(self, measure: Measure, seconds: range) -> float:
        """The longest time of `seconds` without a reading."""
        times = [seconds.start, *(read.t_s for read in self._read(measure, seconds)), seconds.stop]
        return max(later - earlier for earlier, later in pairwise(times))

    def _read(self, measure: Measure, seconds: range) -> list[ProbeRead]:
        name = f"{measure.probe_name}({measure.probe_args or ''})"
        return [p for p in self.probes if p.probe == name and seconds.start <= p.t_s < seconds.stop]

    def _probe(self, measure: Measure, seconds: range) -> Measured | None:
        """From the least to the greatest reading; None when any could not be read."""
        values = self.readings(measure, seconds)
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return None
        return Measured(Range(min(known), max(known)), len(known))
