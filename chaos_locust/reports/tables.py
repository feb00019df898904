"""What the page says in tables: objectives with their bars, requests by phase, errors, what is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chaos_locust.events import ClockOffset, Note, ProbeRead, Recording, WorkerEvent
from chaos_locust.judge.verdict import Finding, Outcome, Phase, RequestRow, Verdict
from chaos_locust.measure.window import ARRIVALS
from chaos_locust.reports.findings import failures_first, title, word
from chaos_locust.reports.text import (
    bound_of,
    change,
    count,
    duration,
    keeps_bound,
    margin_of,
    moment,
    plain,
    share,
    value_of,
)

MOST_ROWS = 150
_MOST_ERRORS = 10


@dataclass(frozen=True, slots=True)
class Bar:
    """Shares of the bar's length: where the value (as an interval) and the bound lie. good: left or right."""

    start: float
    value: float
    bound: float
    good: str
    endless: bool


@dataclass(frozen=True, slots=True)
class ObjectiveRow:
    title: str
    word: str
    outcome: str
    reason: str
    value: str
    bound: str
    samples: str
    margin: str
    bar: Bar | None
    stretch: tuple[float, float] | None
    moment: str


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """One line of the phase table; `change` is p99 against baseline, `heat` 0 to 3 how bad that is."""

    phase: str
    row: RequestRow
    failed_share: float
    change: str
    heat: int


@dataclass(frozen=True, slots=True)
class RequestGroup:
    name: str
    rows: tuple[PhaseRow, ...]


@dataclass(frozen=True, slots=True)
class ErrorRow:
    kind: str
    total: int
    phases: tuple[tuple[str, int], ...]
    first_s: float
    sample: str


def objective_rows(verdict: Verdict) -> list[ObjectiveRow]:
    return [_objective_row(finding) for finding in failures_first(verdict.findings)]


def _objective_row(finding: Finding) -> ObjectiveRow:
    upheld = finding.outcome is Outcome.UPHELD
    agrees = not upheld or keeps_bound(finding) is not False
    obvious = upheld and agrees and finding.value is not None
    return ObjectiveRow(
        title=plain(title(finding)),
        word=word(finding),
        outcome="warning" if word(finding) == "WARNING" else finding.outcome.value.lower(),
        reason=plain(finding.reason) if not obvious else "",
        value=value_of(finding),
        bound=bound_of(finding),
        samples=count(finding.samples) if finding.samples is not None else "",
        margin=margin_of(finding) if finding.bound is not None else "",
        bar=_bar(finding) if agrees else None,
        stretch=finding.stretch,
        moment=f"{moment(finding.stretch[0])} to {moment(finding.stretch[1])}" if finding.stretch else "",
    )


def _bar(finding: Finding) -> Bar | None:
    """The bound stands at two thirds, or nearer to the start when the value is far beyond it."""
    low, high = finding.interval or (finding.value, finding.value)
    bound = finding.bound
    if low is None or high is None or bound is None or not math.isfinite(bound) or finding.op is None:
        return None
    if finding.unit == "ratio" and not finding.op.startswith("<"):
        most = 1.0
    else:
        finite = [v for v in (low, high) if math.isfinite(v)]
        most = max([bound * 1.5, *(v * 1.06 for v in finite)]) or 1.0
    good = "left" if finding.op.startswith("<") else "right"
    start = min(1.0, low / most) if finding.interval and low != high else 0.0
    endless = math.isinf(high)
    return Bar(start, 1.0 if endless else min(1.0, high / most), min(1.0, bound / most), good, endless)


def request_groups(verdict: Verdict) -> tuple[list[RequestGroup], int]:
    """Request names, worst first, each with its phases in order of time; and how many rows were left out."""
    by_name: dict[str, list[RequestRow]] = {}
    for row in verdict.table:
        by_name.setdefault(row.name, []).append(row)
    ordered = sorted(by_name.values(), key=_badness, reverse=True)
    groups: list[RequestGroup] = []
    shown = 0
    for rows in ordered:
        if shown + len(rows) > MOST_ROWS and groups:
            break
        shown += len(rows)
        groups.append(RequestGroup(plain(rows[0].name), tuple(_phase_rows(rows))))
    return groups, len(verdict.table) - shown


def _badness(rows: Sequence[RequestRow]) -> tuple[float, float]:
    """Of its worst phase: the share that failed, then p99."""
    return max((round(_failed(row), 3), row.p99_s or 0.0) for row in rows)


def _failed(row: RequestRow) -> float:
    ended = row.ok + row.failed + row.unanswered
    return (row.failed + row.unanswered) / ended if ended else 0.0


def _phase_rows(rows: Sequence[RequestRow]) -> list[PhaseRow]:
    baseline = next((row for row in rows if row.phase == "baseline"), None)
    found = []
    for row in rows:
        compared = baseline is not None and row is not baseline and row.phase != "run"
        before = baseline.p99_s if baseline else None
        ratio = (row.p99_s or 0.0) / before if compared and before and math.isfinite(before) else 1.0
        heat = 3 if ratio >= 5 else 2 if ratio >= 2 else 1 if ratio >= 1.3 else 0
        text = change(row.p99_s, before) if compared else ""
        found.append(PhaseRow(plain(row.phase), row, _failed(row), text, heat))
    return found


def error_rows(verdict: Verdict, recording: Recording) -> list[ErrorRow]:
    """The most frequent kinds of errors, unanswered requests among them."""
    phases = [p for p in verdict.phases if p.kind in ("warm_up", "baseline", "fault", "after")]
    totals: dict[str, dict[int, int]] = {}
    samples: dict[str, str] = {}
    for (second, name), window in sorted(recording.windows.items()):
        if name == ARRIVALS:
            continue
        unanswered = {"unanswered": window.unanswered} if window.unanswered else {}
        for kind, number in [*window.failed.items(), *unanswered.items()]:
            seconds = totals.setdefault(kind, {})
            seconds[second] = seconds.get(second, 0) + number
        for kind, sample in window.errors_sample.items():
            samples.setdefault(kind, f"{name}: {sample}")
    rows = [
        ErrorRow(
            kind=plain(kind),
            total=sum(seconds.values()),
            phases=tuple(_by_phase(seconds, phases)),
            first_s=min(seconds),
            sample=plain(samples.get(kind, ""))[:600],
        )
        for kind, seconds in totals.items()
    ]
    return sorted(rows, key=lambda row: -row.total)[:_MOST_ERRORS]


def _by_phase(seconds: dict[int, int], phases: Sequence[Phase]) -> list[tuple[str, int]]:
    """By due second; phases may overlap, and what lies in none is told too."""
    left = dict(seconds)
    found = []
    for phase in phases:
        inside = [s for s in seconds if phase.starts_s <= s + 0.5 < phase.ends_s]
        if inside:
            found.append((_label(phase), sum(seconds[s] for s in inside)))
            for second in inside:
                left.pop(second, None)
    return [*found, ("elsewhere", sum(left.values()))] if left else found


def not_measured(verdict: Verdict, recording: Recording) -> list[tuple[str, str]]:
    """What a reader must not take for measured: (what, how much)."""
    items: list[tuple[str, str]] = []
    for phase in verdict.phases:
        span = f"{moment(phase.starts_s)} to {moment(phase.ends_s)}"
        if phase.kind == "warm_up" and phase.ends_s > phase.starts_s:
            items.append(("Warm-up", f"{span}: drawn, not judged"))
        if phase.left_out:
            why = "due so close before a fault that they may have met it"
            items.append((f"Left out of {_label(phase)}", f"{count(phase.left_out)} requests, {why}"))
    for fault in verdict.faults:
        if fault.asked_s is not None and fault.active_s is not None:
            seconds = duration(fault.active_s - fault.asked_s)
            items.append((f"Onset of {plain(fault.name)}", f"{seconds} from asked to confirmed: not judged"))
    missing = _missing_seconds(recording)
    if missing:
        items.append(("Seconds without a window", f"{count(len(missing))}, first {moment(missing[0])}"))
    for event in recording.events:
        if isinstance(event, WorkerEvent) and event.state in ("lost", "refused", "silent", "raised"):
            text = f"{event.state} at {moment(event.t_s)}; {plain(event.detail)}".rstrip("; ")
            items.append((f"Worker {plain(event.worker)}", text))
        elif isinstance(event, Note):
            items.append((plain(event.topic), plain(event.detail)))
    items += _summed(verdict, recording)
    return items


def _summed(verdict: Verdict, recording: Recording) -> list[tuple[str, str]]:
    items: list[tuple[str, str]] = []
    if verdict.totals.lost:
        items.append(("Arrivals lost with a worker", count(verdict.totals.lost)))
    if verdict.totals.dropped:
        of = share(verdict.totals.dropped / verdict.totals.offered) if verdict.totals.offered else ""
        items.append(("Arrivals dropped for lack of users", f"{count(verdict.totals.dropped)} ({of})"))
    clocks = [e.error_s for e in recording.events if isinstance(e, ClockOffset)]
    if clocks:
        items.append(("Clocks of the workers", f"known to within {duration(max(clocks))}"))
    failed = [e for e in recording.events if isinstance(e, ProbeRead) and not e.ok]
    if failed:
        first = f"the first at {moment(failed[0].t_s)}: {plain(failed[0].detail)}"
        items.append(("Probes without an answer", f"{count(len(failed))} readings, {first}"))
    if not recording.complete:
        items.append(("The journal", "ends before the end of the run: the rest was not recorded"))
    tried = [f for f in verdict.findings if f.not_run]
    if tried:
        items.append(("Not run", "; ".join(plain(title(f)) for f in tried[:8])))
    undecided = sum(f.outcome is Outcome.INCONCLUSIVE and not f.not_run for f in verdict.findings)
    if undecided:
        of = f"{count(undecided)} of {count(len(verdict.findings))} findings"
        items.append(("Could not be decided", of))
    return items


def _label(phase: Phase) -> str:
    return plain(f"after {phase.label}" if phase.kind == "after" else phase.label)


def _missing_seconds(recording: Recording) -> list[int]:
    seconds = {second for second, _ in recording.windows}
    return [s for s in range(min(seconds), max(seconds)) if s not in seconds] if seconds else []
