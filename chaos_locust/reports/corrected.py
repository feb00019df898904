"""Closed workloads: an estimate of the latencies that waiting users left out (coordinated omission).

A user who waits for a slow answer does not send what would have been sent meanwhile. As HdrHistogram does,
for each answer slower than the users' usual cycle the missing requests are added: those that would have been
sent every cycle during the wait and would have waited the rest of it. The usual cycle is the baseline's
users x seconds / requests. An estimate: requests without an answer stay infinite, no others are added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chaos_locust.events import GeneratorSample, Recording
from chaos_locust.judge.verdict import Phase, Verdict
from chaos_locust.measure.histogram import NS, Histogram
from chaos_locust.measure.window import ARRIVALS, Window

_MOST_ADDED = 2_000_000  # steps of work: beyond this the estimate is left out


@dataclass(frozen=True, slots=True)
class Corrected:
    """p99 of all requests of a phase in seconds, as measured and with what was omitted."""

    phase: str
    measured_s: float
    corrected_s: float


def corrected_of(verdict: Verdict, recording: Recording) -> list[Corrected] | str:
    """The estimates by phase, or why there are none."""
    baseline = next((p for p in verdict.phases if p.kind == "baseline"), None)
    if baseline is None:
        return "there was no baseline to take the users' cycle from"
    window = _merged(recording, baseline)
    users = _mean_users(recording, baseline)
    if window is None or not window.sent or not users:
        return "the number of users in the baseline was not recorded"
    seconds = math.floor(baseline.ends_s) - math.ceil(baseline.starts_s)
    cycle_ns = round(users * seconds / window.sent * NS)
    found = []
    for phase in verdict.phases:
        if phase.kind not in ("run", "baseline", "fault", "after"):
            continue
        merged = _merged(recording, phase)
        if merged is None or not merged.response.count:
            continue
        whole = with_omitted(merged.response, cycle_ns)
        if whole is None:
            return "answers were so slow against the users' cycle that an estimate would mean nothing"
        label = f"after {phase.label}" if phase.kind == "after" else phase.label
        failed = merged.failures + merged.unanswered
        found.append(Corrected(label, _p99(merged.response, failed), _p99(whole, failed)))
    return found or "no request was answered"


def with_omitted(histogram: Histogram, cycle_ns: int) -> Histogram | None:
    """With the requests that a user with this cycle would have sent while waiting; None: too many."""
    whole = Histogram(histogram.layout)
    added = 0
    for _, upper, count in histogram.cells():
        value_ns = min(upper - 1, histogram.max_ns)
        whole.add(value_ns, count)
        added += max(0, value_ns // max(1, cycle_ns))
        if added > _MOST_ADDED:
            return None
        missing_ns = value_ns - cycle_ns
        while missing_ns >= cycle_ns > 0:
            whole.add(missing_ns, count)
            missing_ns -= cycle_ns
    return whole


def _p99(histogram: Histogram, failed: int) -> float:
    n = histogram.count + failed
    rank = math.ceil(0.99 * n - 1e-9 * n)
    if rank > histogram.count:
        return math.inf
    return histogram.quantile(rank / histogram.count) or 0.0


def _merged(recording: Recording, phase: Phase) -> Window | None:
    total: Window | None = None
    for (second, name), window in recording.windows.items():
        if name != ARRIVALS and phase.starts_s <= second and second + 1 <= phase.ends_s:
            total = total or Window(window.layout)
            total.add_window(window)
    return total


def _mean_users(recording: Recording, phase: Phase) -> float:
    samples: dict[int, int] = {}
    for event in recording.events:
        if isinstance(event, GeneratorSample) and phase.starts_s <= event.t_s < phase.ends_s:
            samples[int(event.t_s)] = samples.get(int(event.t_s), 0) + event.users
    return _mean(list(samples.values()))


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0
