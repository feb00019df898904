"""The verdict, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from chaos_locust.plan.objectives import Severity, Unit


class Outcome(StrEnum):
    UPHELD = "UPHELD"
    DEVIATED = "DEVIATED"
    INCONCLUSIVE = "INCONCLUSIVE"


EXIT_CODES: Mapping[Outcome, int] = {Outcome.UPHELD: 0, Outcome.DEVIATED: 3, Outcome.INCONCLUSIVE: 4}
EXIT_CRASH = 1
EXIT_USAGE = 2
EXIT_DIRTY = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was judged, with its numbers.

    source: `objective`, `steady_state`, `effect`, `abort`, `generator`, `worker`, `clock`, `locust`,
    `cleanup`, or the name of a companion. text: the objective as typed, or a short title.
    value and bound: in `unit`; value is None when nothing could be measured, inf when so many failed
    that the percentile is infinite. interval: of a recovery or an outage, in seconds; an upper end of
    inf means "cut off". stretch: the seconds of the run that show it. not_run: it was never tried.
    margin: whether a decided fact is clear or thin against the sampling noise.
    """

    source: str
    text: str
    outcome: Outcome
    reason: str
    severity: Severity = "error"
    subject: str | None = None
    value: float | None = None
    bound: float | None = None
    unit: Unit | None = None
    op: str | None = None
    samples: int | None = None
    interval: tuple[float, float] | None = None
    stretch: tuple[float, float] | None = None
    margin: Literal["clear", "thin"] | None = None
    not_run: bool = False


@dataclass(frozen=True, slots=True)
class Phase:
    """A labelled stretch. left_out: requests in it that the boundary guard did not judge."""

    label: str
    kind: Literal["run", "warm_up", "baseline", "step", "fault", "after"]
    starts_s: float
    ends_s: float
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """What became of a fault. Times in seconds of the run; None: never came.

    recovery: seconds after it ended (an instant fault: after it started) as an interval; an upper end
    of inf: not recovered when the run ended. ready_again_s: in Kubernetes' sense, since the same instant: as
    many pods ready as before; inf: not when the run ended; None: nobody looked.
    """

    name: str
    kind: str
    target: str
    due_s: float | None
    asked_s: float | None
    active_s: float | None
    revert_asked_s: float | None
    reverted_s: float | None
    state: str
    mechanism: bool | None
    use: bool | None
    effect: str
    recovery: tuple[float, float] | None
    detail: str = ""
    ready_again_s: float | None = None


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A line of the phase table; quantiles in seconds from the due time, inf where failures make it so."""

    name: str
    phase: str
    sent: int
    ok: int
    failed: int
    unanswered: int
    rate_rps: float
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    p99_ok_s: float | None
    service_p99_s: float | None


@dataclass(frozen=True, slots=True)
class Totals:
    """Sent = ok + failed + unanswered. Offered, dropped and lost count arrivals of an open workload."""

    offered: int
    dropped: int
    lost: int
    sent: int
    ok: int
    failed: int
    unanswered: int
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Trust:
    """How far the generator can be trusted. reasons: why nothing can be upheld; empty when it can."""

    lateness_p99_s: float | None
    lateness_limit_s: float | None
    dropped_share: float
    max_cpu_share: float
    workers: int
    workers_lost: int
    clock_error_s: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The run's outcome with every finding and its numbers; owns the exit code."""

    run_id: str
    plan_name: str
    outcome: Outcome
    exit_code: int
    sentence: str
    findings: tuple[Finding, ...]
    phases: tuple[Phase, ...]
    faults: tuple[FaultRecord, ...]
    table: tuple[RequestRow, ...]
    totals: Totals
    trust: Trust
    workload: Literal["open", "closed"]
    duration_s: float
    started_epoch_s: float
    seed: int
    end_reason: str
    stress_level: float | None = None  # the highest level that held, of a stress load
    schema: int = 1
