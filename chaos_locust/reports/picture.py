"""The one picture: four lanes on one time axis, and one more for the pods of each target. Computes shapes and
labels; the template draws them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaos_locust.events import LoadStopped, Recording
from chaos_locust.judge.verdict import Verdict
from chaos_locust.plan.model import Plan
from chaos_locust.reports.bounds import BoundLine, bound_lines, is_latency
from chaos_locust.reports.columns import Column
from chaos_locust.reports.faultlane import FaultLane, fault_lane
from chaos_locust.reports.paths import area, bars, between, polyline
from chaos_locust.reports.podlane import PodLane, pod_lanes
from chaos_locust.reports.scale import Linear, Logarithmic, decades, round_up, time_ticks
from chaos_locust.reports.text import count, duration, moment, plain, shorten

WIDTH = 1200.0
LEFT, RIGHT = 62.0, 14.0
_TITLE = 34.0  # height of a lane's title
_HEAD = 34.0  # the load steps and the phases above the lanes
_RATES, _LATENCIES, _ERRORS = 104.0, 168.0, 76.0
_NO_ANSWER, _STRIP_GAP = 12.0, 7.0  # the strip above the latencies for percentiles that are infinite
_KINDS = 5  # error kinds with a colour of their own


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Stripe:
    """A part of the time axis with a name; `label` is empty when there is no room for it."""

    x: float
    width: float
    label: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class Lane:
    """top and bottom of the plot; the title stands above it."""

    top: float
    bottom: float
    ticks: tuple[Tick, ...]

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """`number` chooses colour and hatching."""

    number: int
    label: str
    total: str
    path: str


@dataclass(frozen=True, slots=True)
class Picture:
    width: float
    height: float
    left: float
    right: float
    length_s: float
    time_ticks: tuple[Tick, ...]
    steps: tuple[Stripe, ...]
    phases: tuple[Stripe, ...]
    shades: tuple[Stripe, ...]
    rates: Lane
    offered: str
    completed: str
    gap: str
    never: str
    latencies: Lane
    no_answer_top: float
    no_answer_height: float
    lines: tuple[tuple[str, str], ...]  # (class, path)
    bounds: tuple[BoundLine, ...]
    errors: Lane
    kinds: tuple[ErrorKind, ...]
    pods: tuple[PodLane, ...]
    faults: FaultLane
    column_s: int


def picture_of(plan: Plan, verdict: Verdict, recording: Recording, columns: Sequence[Column]) -> Picture:
    length_s = max([1.0, verdict.duration_s, *(c.starts_s + c.width_s for c in columns[-1:])])
    x = Linear(0.0, length_s, LEFT, WIDTH - RIGHT)
    y = _HEAD + _TITLE
    rates = _rates_lane(columns, y)
    y = rates.bottom + _TITLE + _NO_ANSWER + _STRIP_GAP
    latencies, place = _latencies_lane(verdict, columns, y)
    y = latencies.bottom + _TITLE
    errors = _errors_lane(columns, y)
    pods = pod_lanes(recording, x, errors.bottom, _TITLE)
    above = pods[-1].bottom if pods else errors.bottom
    faults = fault_lane(plan, verdict, recording, x, above + _TITLE)
    up = Linear(0.0, _most(rates), rates.bottom, rates.top)
    offered = [(x(c.middle_s), up(c.offered)) for c in columns]
    completed = [(x(c.middle_s), up(c.completed)) for c in columns]
    return Picture(
        width=WIDTH,
        height=faults.bottom + 24,
        left=LEFT,
        right=WIDTH - RIGHT,
        length_s=length_s,
        time_ticks=tuple(Tick(x(t), _clock(t)) for t in time_ticks(length_s)),
        steps=tuple(_steps(plan, x)),
        phases=tuple(_phases(verdict, recording, x, length_s)),
        shades=tuple(_shades(plan, verdict, x)),
        rates=rates,
        offered=polyline(offered),
        completed=area(completed, rates.bottom),
        gap=between(offered, completed),
        never=bars(x, [(c, up(0), up(c.never)) for c in columns if c.never]),
        latencies=latencies,
        no_answer_top=latencies.top - _STRIP_GAP - _NO_ANSWER,
        no_answer_height=_NO_ANSWER,
        lines=tuple(_lines(columns, x, place, latencies.top - _STRIP_GAP - _NO_ANSWER / 2)),
        bounds=tuple(bound_lines(plan, verdict, x, place)),
        errors=errors,
        kinds=tuple(_kinds(columns, x, Linear(0.0, _most(errors), errors.bottom, errors.top))),
        pods=pods,
        faults=faults,
        column_s=columns[0].width_s if columns else 1,
    )


# -- the time axis --------------------------------------------------------------------------------------


def _steps(plan: Plan, x: Linear) -> list[Stripe]:
    if plan.load is None:
        return []
    unit = "/s" if plan.load.workload == "open" else " users"
    stripes = []
    for step in plan.load.steps:
        level = f"{step.start_level:g}{unit}"
        if step.end_level != step.start_level:
            level = f"{step.start_level:g} to {step.end_level:g}{unit}"
        stripes.append(_stripe(x, step.starts_s, step.ends_s, step.name, level, "step"))
    return stripes


def _phases(verdict: Verdict, recording: Recording, x: Linear, length_s: float) -> list[Stripe]:
    stripes = [
        _stripe(x, p.starts_s, p.ends_s, p.label, "(not judged)" if p.kind == "warm_up" else "", p.kind)
        for p in verdict.phases
        if p.kind in ("warm_up", "baseline")
    ]
    stopped = [e for e in recording.events if isinstance(e, LoadStopped)]
    if stopped and length_s - stopped[0].t_s > 0.5:
        stripes.append(_stripe(x, stopped[0].t_s, length_s, "drain", "no new requests", "drain"))
    return stripes


def _shades(plan: Plan, verdict: Verdict, x: Linear) -> list[Stripe]:
    """Each fault behind all lanes: as long as it acted; an instant one as a line."""
    instant = {fault.name for fault in plan.faults if fault.instant}
    stripes = []
    for fault in verdict.faults:
        if fault.active_s is None:
            continue
        ends_s = fault.reverted_s if fault.reverted_s is not None else x.most
        width = 0.0 if fault.name in instant else max(1.0, x(ends_s) - x(fault.active_s))
        stripes.append(Stripe(x(fault.active_s), width, "", plain(fault.name), "fault"))
    return stripes


def _stripe(x: Linear, starts_s: float, ends_s: float, name: str, more: str, kind: str) -> Stripe:
    width = x(ends_s) - x(starts_s)
    name = plain(name)
    long = f"{name} {more}".strip()
    room = (width - 8) / 6.2
    label = next((text for text in (long, name, more) if len(text) <= room), "")
    return Stripe(x(starts_s), width, label, f"{long}, {moment(starts_s)} to {moment(ends_s)}", kind)


def _clock(t_s: float) -> str:
    minutes, seconds = divmod(round(t_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


# -- (a) rates, (c) errors ------------------------------------------------------------------------------


def _rates_lane(columns: Sequence[Column], title: float) -> Lane:
    most = round_up(max([1.0, *(max(c.offered, c.completed) * 1.02 for c in columns)]))
    return _linear_lane(title, _RATES, most)


def _errors_lane(columns: Sequence[Column], title: float) -> Lane:
    return _linear_lane(title, _ERRORS, round_up(max([1.0, *(c.failed for c in columns)])))


def _linear_lane(top: float, height: float, most: float) -> Lane:
    up = Linear(0.0, most, top + height, top)
    values = (0.0, most / 2, most) if most > 1 else (0.0, most)
    return Lane(top, top + height, tuple(Tick(up(v), f"{v:,g}") for v in values))


def _most(lane: Lane) -> float:
    return float(lane.ticks[-1].label.replace(",", ""))


def _kinds(columns: Sequence[Column], x: Linear, up: Linear) -> list[ErrorKind]:
    """Stacked from the bottom: unanswered, then the most frequent kinds, then all others as one."""
    totals: Counter[str] = Counter()
    for column in columns:
        totals.update(column.errors or {})
    named = [kind for kind, _ in totals.most_common(_KINDS)]

    def part(column: Column, kind: str | None) -> int:
        errors = column.errors or {}
        return sum(n for k, n in errors.items() if k not in named) if kind is None else errors.get(kind, 0)

    parts: list[tuple[int, str, Callable[[Column], int]]] = [(0, "unanswered", lambda c: c.unanswered)]
    parts += [(i + 1, kind, lambda c, k=kind: part(c, k)) for i, kind in enumerate(named)]  # type: ignore[misc]
    parts.append((_KINDS + 1, "other", lambda c: part(c, None)))
    floor = [0] * len(columns)
    kinds = []
    for number, label, of in parts:
        heights = [of(column) for column in columns]
        if any(heights):
            stacked = [
                (column, up(low), up(low + high))
                for column, low, high in zip(columns, floor, heights, strict=True)
                if high
            ]
            label = shorten(plain(label), 40)
            kinds.append(ErrorKind(number, label, count(sum(heights)), bars(x, stacked)))
            floor = [low + high for low, high in zip(floor, heights, strict=True)]
    return kinds


# -- (b) latencies --------------------------------------------------------------------------------------


def _latencies_lane(verdict: Verdict, columns: Sequence[Column], top: float) -> tuple[Lane, Logarithmic]:
    seen = [v for c in columns for v in (c.p50_s, c.p99_s, c.service_p99_s) if v and math.isfinite(v)]
    seen += [f.bound for f in verdict.findings if is_latency(f) and f.bound]
    seen = seen or [0.01, 0.1]
    low, high, ticks = decades(max(1e-6, min(seen)), max(seen) * 1.05)
    place = Logarithmic(low, high, top + _LATENCIES, top)
    return Lane(top, top + _LATENCIES, tuple(Tick(place(t), duration(t)) for t in ticks)), place


def _lines(
    columns: Sequence[Column], x: Linear, place: Logarithmic, no_answer: float
) -> list[tuple[str, str]]:
    """Upper percentiles first, so that lower ones are drawn over them."""

    def line(of: Callable[[Column], float | None]) -> str:
        points: list[tuple[float, float] | None] = []
        for column in columns:
            value = of(column)
            if value is None:
                points.append(None)
            else:
                points.append((x(column.middle_s), no_answer if math.isinf(value) else place(value)))
        return polyline(points)

    return [
        ("service", line(lambda c: c.service_p99_s)),
        ("p99", line(lambda c: c.p99_s)),
        ("p95", line(lambda c: c.p95_s)),
        ("p50", line(lambda c: c.p50_s)),
    ]
