"""What an experiment measured, from its run's recording and verdict, and the grades of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos_locust.events import Recording
from chaos_locust.judge.series import Series
from chaos_locust.judge.verdict import Outcome
from chaos_locust.measure.window import Window
from chaos_locust.plan.model import Plan

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """What was measured; None: not measured, `why` says the reason. Times in ms.

    recovery_interval_ms: how long after the failure's end (of one that happens at once: after it came) the
    target was itself again; recovery_time_ms is its upper end, None where it had not recovered when the load
    ended. error_rate_during_failure: a share of one of the requests due while the failure acted.
    latency_ms: p50, p95 and p99 of those of them that succeeded, from when they were due;
    latency_impact_ms: how much more than in the baseline. failures_by_request: what failed, by the name of
    the request: who depends on the failed service shows here; downstream_failures is the sum.
    """

    outcome: Outcome
    exit_code: int
    sentence: str
    folder: Path
    why: str
    recovery_time_ms: float | None
    recovery_interval_ms: tuple[float, float] | None
    error_rate_during_failure: float | None
    latency_ms: Mapping[str, float | None]
    latency_impact_ms: Mapping[str, float | None]
    failures_by_request: Mapping[str, int] | None

    @property
    def latency_p99_ms(self) -> float | None:
        return self.latency_ms["p99"]

    @property
    def downstream_failures(self) -> int | None:
        return None if self.failures_by_request is None else sum(self.failures_by_request.values())

    @property
    def grades(self) -> Mapping[str, str | None]:
        """Of recovery, errors and latency, in words; None where nothing was measured."""
        return {
            "recovery": graded(self.recovery_time_ms, RECOVERY_GRADES),
            "errors": graded(self.error_rate_during_failure, ERROR_GRADES),
            "latency": graded(self.latency_impact_ms["p99"], LATENCY_GRADES),
        }


# (border, grade below it, whether the border itself still has this grade); the last grade is for all above
Grades = tuple[Sequence[tuple[float, str, bool]], str]
RECOVERY_GRADES: Grades = (
    [(60_000, "excellent", False), (300_000, "good", False), (900_000, "acceptable", True)],
    "needs improvement",
)
ERROR_GRADES: Grades = (
    [(0.1, "handles well", False), (0.3, "aware of failure", False), (0.5, "some cascading effect", True)],
    "poor failure isolation",
)
LATENCY_GRADES: Grades = (
    [(50, "excellent", False), (100, "good", False), (500, "acceptable", True)],
    "needs optimization",
)


def graded(value: float | None, grades: Grades) -> str | None:
    """The grade of a value."""
    if value is None:
        return None
    borders, above = grades
    for border, grade, included in borders:
        if value < border or (included and value == border):
            return grade
    return above


def result_of(
    plan: Plan, faults: Sequence[str], recording: Recording, verdict: Mapping[str, Any], folder: Path
) -> ExperimentResult:
    """faults: names of those that are the experiment. verdict: the content of `verdict.json`."""
    records = [record for record in verdict["faults"] if record["name"] in faults]
    why = _unmeasured(records)
    series = Series(recording.windows, plan.load)
    failed = None if why else series.total(None, _seconds(records, recording))
    recovery = None if why else records[-1]["recovery"]
    interval = None if recovery is None else (recovery[0] * 1000, float(recovery[1]) * 1000)
    during = _quantiles(failed)
    before = _quantiles(series.total(None, _baseline(verdict)))
    return ExperimentResult(
        outcome=Outcome(verdict["outcome"]),
        exit_code=verdict["exit_code"],
        sentence=verdict["sentence"],
        folder=folder,
        why=why,
        recovery_time_ms=None if interval is None or math.isinf(interval[1]) else interval[1],
        recovery_interval_ms=interval,
        error_rate_during_failure=_error_rate(failed),
        latency_ms=during,
        latency_impact_ms={name: _difference(during[name], before[name]) for name in QUANTILES},
        failures_by_request=None if failed is None else _failures(series, _seconds(records, recording)),
    )


def _unmeasured(records: Sequence[Mapping[str, Any]]) -> str:
    """Why nothing can be said of the failure: what was not there, or not seen to act, was not measured."""
    for record in records:
        if record["active_s"] is None:
            return f"{record['name']} was not injected: {record['detail'] or 'the run never came to it'}"
        if record["mechanism"] is not True or record["use"] is not True:
            return (
                f"the effect of {record['name']} was not seen: {record['effect'] or 'nothing was observed'}"
            )
    return ""


def _seconds(records: Sequence[Mapping[str, Any]], recording: Recording) -> range:
    """The whole seconds from the first fault's onset to the last one's end. One that happens at once lasts
    until the target is known to be itself again, or to the end."""
    last_s = float(max((second + 1 for second, _ in recording.windows), default=0))
    ends = []
    for record in records:
        end_s = record["revert_asked_s"]
        if end_s is None and record["recovery"] is not None:
            end_s = record["active_s"] + float(record["recovery"][1])
        ends.append(last_s if end_s is None else min(end_s, last_s))
    starts_s = min(record["active_s"] for record in records)
    return range(math.ceil(round(starts_s, 6)), math.floor(round(max(ends), 6)))


def _baseline(verdict: Mapping[str, Any]) -> range:
    for phase in verdict["phases"]:
        if phase["kind"] == "baseline":
            return range(math.ceil(round(phase["starts_s"], 6)), math.floor(round(phase["ends_s"], 6)))
    return range(0)


def _error_rate(window: Window | None) -> float | None:
    if window is None:
        return None
    failed = window.failures + window.unanswered
    return failed / (window.ok + failed) if window.ok + failed else None


def _failures(series: Series, at: range) -> dict[str, int]:
    found = {name: series.merged(name, at) for name in series.names}
    return {name: window.failures + window.unanswered for name, window in found.items() if window is not None}


def _quantiles(window: Window | None) -> dict[str, float | None]:
    """In ms, of what succeeded."""
    found = {name: None if window is None else window.response.quantile(q) for name, q in QUANTILES.items()}
    return {name: None if value_s is None else value_s * 1000 for name, value_s in found.items()}


def _difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
