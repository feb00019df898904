"""What a load test measured, from its run's recording and verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos_locust.events import Recording
from chaos_locust.judge.series import Series
from chaos_locust.judge.verdict import Outcome
from chaos_locust.plan.model import Plan

QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


@dataclass(frozen=True, slots=True)
class Latencies:
    """In ms, of what succeeded, from when it was due; None: nothing succeeded."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """requests: those that were sent. throughput_rps: successes a second, over the whole load. peak_rps: the
    most successes of those due in one second. error_rate: the share of one of the requests that failed or
    had no answer; None: none was sent. dropped: arrivals that no user was free for. holds_rps: of a stress
    load, the highest level at which all that is demanded held; None: not even the first did, or it is
    another load.
    """

    outcome: Outcome
    exit_code: int
    sentence: str
    folder: Path
    requests: int
    throughput_rps: float
    peak_rps: float
    latencies: Latencies
    error_rate: float | None
    dropped: int
    holds_rps: float | None

    def passed_slo(self) -> bool:
        return self.outcome is Outcome.UPHELD


def result_of(plan: Plan, recording: Recording, verdict: Mapping[str, Any], folder: Path) -> LoadResult:
    """verdict: the content of `verdict.json`."""
    series = Series(recording.windows, plan.load)
    lasted_s = verdict["duration_s"]
    seconds = range(0, int(lasted_s) + 1)
    total = series.total(None, seconds)
    per_second = [window.ok for each in seconds if (window := series.total(None, range(each, each + 1)))]
    quantiles: dict[str, float | None] = dict.fromkeys((*QUANTILES, "max_ms"))
    if total is not None and total.ok:
        quantiles = {name: _ms(total.response.quantile(q)) for name, q in QUANTILES.items()}
        quantiles["max_ms"] = _ms(total.response.max_s)
    failed = 0 if total is None else total.failures + total.unanswered
    ok = 0 if total is None else total.ok
    return LoadResult(
        outcome=Outcome(verdict["outcome"]),
        exit_code=verdict["exit_code"],
        sentence=verdict["sentence"],
        folder=folder,
        requests=ok + failed,
        throughput_rps=ok / lasted_s if lasted_s else 0.0,
        peak_rps=float(max(per_second, default=0)),
        latencies=Latencies(**quantiles),
        error_rate=failed / (ok + failed) if ok + failed else None,
        dropped=verdict["totals"]["dropped"],
        holds_rps=verdict["stress_level"],
    )


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None else value_s * 1000
