"""How far the load generator's own measurements can be trusted.

Not, where its p99 lateness is over a tenth of the tightest latency bound, where it stood still (by its own
loop's watch) for more than 1 % of the time longer than that, where more than 1 % of the arrivals were
dropped, fewer than planned were offered, a worker was lost, a task or listener raised, or a worker's clock
may be more than half a second off (half a window: then seconds and faults cannot be joined).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaos_locust.events import Event, GeneratorSample, Recording, RunEnded, WorkerEvent
from chaos_locust.judge.claims import INCONCLUSIVE
from chaos_locust.judge.context import DROPPED, Context
from chaos_locust.judge.doubt import Doubt
from chaos_locust.judge.layout import is_latency
from chaos_locust.judge.verdict import Finding, Trust
from chaos_locust.judge.words import count, share
from chaos_locust.judge.words import seconds as in_words
from chaos_locust.plan.objectives import Objective

LATENESS_SHARE = 0.1
LATE_QUANTILE = 0.99
LARGEST_DROPPED_SHARE = 0.01
LARGEST_MISSING_SHARE = 0.01
LARGEST_CLOCK_ERROR_S = 0.5


@dataclass(frozen=True, slots=True)
class Judged:
    trust: Trust
    doubt: Doubt
    findings: tuple[Finding, ...]


def judge_trust(ctx: Context, recording: Recording, at: range) -> Judged:
    """Of the seconds `at`. ctx: without doubts."""
    limit_s = lateness_limit_s(ctx)
    lateness = ctx.series.total(None, at)
    lateness_p99_s = lateness.lateness.quantile(LATE_QUANTILE) if lateness is not None else None
    samples = [e for e in recording.events if isinstance(e, GeneratorSample) and at.start <= e.t_s <= at.stop]
    timing: list[tuple[str, str]] = []
    if limit_s is not None and lateness_p99_s is not None and lateness_p99_s > limit_s:
        timing.append(
            ("generator", f"p99 lateness {in_words(lateness_p99_s)}, at most {in_words(limit_s)} allowed")
        )
    stood_still = _standstill_share(samples, limit_s)
    if stood_still > 1 - LATE_QUANTILE:
        timing.append(("generator", f"its event loop stood still {share(stood_still)} of the time"))

    dropped = ctx.series.tally(DROPPED, None, at)
    dropped_share = dropped.least / dropped.n if dropped.n else 0.0
    coverage: list[tuple[str, str]] = []
    if dropped_share > LARGEST_DROPPED_SHARE:
        coverage.append(
            ("generator", f"{share(dropped_share)} of the arrivals were dropped for lack of users")
        )
    missing = _missing_share(ctx, at, dropped.n)
    if missing > LARGEST_MISSING_SHARE:
        coverage.append(("generator", f"{share(missing)} of the planned arrivals were never offered"))
    lost = sum(ctx.series.arrivals[s].lost for s in at if s in ctx.series.arrivals)
    if lost:
        coverage.append(("worker", f"{count(lost)} arrivals were lost with their worker"))
    workers = _worker_doubts(recording)
    coverage += [*workers, *_run_doubts(recording)]
    clock: list[tuple[str, str]] = []
    if ctx.course.clock_error_s > LARGEST_CLOCK_ERROR_S:
        clock.append(("clock", f"a worker's clock may be {in_words(ctx.course.clock_error_s)} off"))

    doubt = Doubt(*(tuple(text for _, text in doubts) for doubts in (timing, coverage, clock)))
    findings = tuple(
        Finding(source, _TITLES[source], INCONCLUSIVE, text) for source, text in (*timing, *coverage, *clock)
    )
    events = [e for e in recording.events if isinstance(e, WorkerEvent)]
    joined = {e.worker for e in events if e.state == "joined"}
    trust = Trust(
        lateness_p99_s,
        limit_s,
        dropped_share,
        max((sample.cpu_share for sample in samples), default=0.0),
        len(joined) or max(1, recording.header.workers_expected),
        len({e.worker for e in events if e.state == "lost"}),
        ctx.course.clock_error_s,
        doubt.reasons,
    )
    return Judged(trust, doubt, findings)


_TITLES = {
    "generator": "the load generator kept up",
    "worker": "every worker worked to the end",
    "clock": "the workers' clocks agree",
    "locust": "no task or listener raised",
    "abort": "the recording is whole",
}


def lateness_limit_s(ctx: Context) -> float | None:
    """A tenth of the tightest latency bound that can change the exit code; None: there is none."""
    rules = [r for r in (*ctx.plan.objectives, *ctx.plan.steady_state) if isinstance(r, Objective)]
    bounds = []
    for rule in rules:
        if is_latency(rule) and rule.severity == "error":
            subject = rule.subject if rule.subject in ctx.series.names else None
            bound = ctx.bound(rule, subject)
            if not isinstance(bound, str):
                bounds.append(bound.least)
    return LATENESS_SHARE * min(bounds) if bounds else None


def _standstill_share(samples: Sequence[GeneratorSample], limit_s: float | None) -> float:
    """The share of the workers' time in which an answer would have been read later than the limit."""
    if limit_s is None or not samples:
        return 0.0
    return sum(max(0.0, sample.loop_lateness_s - limit_s) for sample in samples) / len(samples)


def _missing_share(ctx: Context, at: range, offered: int) -> float:
    """The share of the planned arrivals that were not offered, beyond what chance explains."""
    load = ctx.plan.load
    if load is None or load.workload != "open":
        return 0.0
    planned = sum(step.level_at(s + 0.5) for s in at if (step := load.step_at(s + 0.5)) is not None)
    chance = 4 * planned**0.5 if load.arrivals == "poisson" else 0.0
    return (planned - offered - chance - 1) / planned if planned else 0.0


def _worker_doubts(recording: Recording) -> list[tuple[str, str]]:
    doubts = []
    joined: set[str] = set()
    for event in recording.events:
        if isinstance(event, WorkerEvent):
            if event.state == "joined":
                joined.add(event.worker)
            elif event.state in ("lost", "silent", "refused", "raised"):
                detail = f": {event.detail}" if event.detail else ""
                source = "locust" if event.state == "raised" else "worker"
                doubts.append((source, f"worker {event.worker} {_WORKER_STATES[event.state]}{detail}"))
    missing = recording.header.workers_expected - len(joined)
    if missing > 0 and recording.header.workers_expected > 1 and not doubts:
        doubts.append(("worker", f"{missing} of {recording.header.workers_expected} workers never joined"))
    return doubts


_WORKER_STATES = {
    "lost": "was lost",
    "silent": "never sent anything",
    "refused": "was refused",
    "raised": "raised an error",
}


def _run_doubts(recording: Recording) -> list[tuple[str, str]]:
    doubts = []
    if not recording.complete:
        doubts.append(("abort", "the recording breaks off before the end of the run"))
    ends: list[Event] = [event for event in recording.events if isinstance(event, RunEnded)]
    for event in ends:
        assert isinstance(event, RunEnded)
        if event.locust_exceptions:
            doubts.append(("locust", f"{count(event.locust_exceptions)} tasks or listeners raised"))
        if event.listener_failed:
            doubts.append(("locust", "a listener of Locust's events raised"))
    return doubts
