"""A card for each fault: what was asked, what was seen, how it ended; and the recovery enlarged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaos_locust.judge.verdict import FaultRecord, Verdict
from chaos_locust.plan.model import Plan
from chaos_locust.reports.columns import Column
from chaos_locust.reports.findings import ready_again, state_of
from chaos_locust.reports.paths import bars, polyline
from chaos_locust.reports.picture import Tick
from chaos_locust.reports.scale import Linear, Logarithmic, decades
from chaos_locust.reports.text import duration, interval, moment, plain

_WIDTH, _HEIGHT = 520.0, 150.0
_LEFT, _TOP, _BOTTOM = 52.0, 16.0, 128.0
_BEFORE_S, _AFTER_S = 5.0, 15.0
_LONGEST_S = 600.0
"""Beyond this the enlarged recovery would be no enlargement."""


@dataclass(frozen=True, slots=True)
class Zoom:
    """The seconds around the end of a fault: p95, the share of errors, the interval of the recovery."""

    width: float
    height: float
    left: float
    top: float
    bottom: float
    ended_x: float
    interval: tuple[float, float] | None
    recovered: bool
    p95: str
    errors: str
    ticks: tuple[Tick, ...]
    times: tuple[Tick, ...]
    title: str


@dataclass(frozen=True, slots=True)
class Card:
    """facts: (label, text, mark), mark being yes, no, unknown or empty."""

    name: str
    what: str
    state: str
    settings: str
    facts: tuple[tuple[str, str, str], ...]
    zoom: Zoom | None


def cards(plan: Plan, verdict: Verdict, columns: Sequence[Column]) -> list[Card]:
    known = {fault.name: fault for fault in plan.faults}
    found = []
    for record in verdict.faults:
        fault = known.get(record.name)
        settings = ""
        if fault is not None:
            data = fault.model_dump(mode="json", by_alias=True, exclude_none=True)
            hidden = ("name", "kind", "target")
            settings = ", ".join(f"{k} {plain(str(v))}" for k, v in data.items() if k not in hidden)
        found.append(
            Card(
                name=plain(record.name),
                what=f"{record.kind} on {plain(record.target)}",
                state=state_of(record),
                settings=settings,
                facts=tuple(_facts(record, fault is not None and fault.instant)),
                zoom=_zoom(record, columns),
            )
        )
    return found


def _facts(record: FaultRecord, instant: bool) -> list[tuple[str, str, str]]:
    marks = {True: "yes", False: "no", None: "unknown"}
    words = {True: "seen", False: "not seen", None: "could not be looked at"}
    facts = [("Asked", moment(record.asked_s), "")]
    if record.active_s is not None and record.asked_s is not None:
        after = f"{moment(record.active_s)}, {duration(record.active_s - record.asked_s)} later"
        facts.append(("Confirmed active", after, "yes"))
    else:
        facts.append(("Confirmed active", "never", "no"))
    facts.append(("Effect on its mechanism", words[record.mechanism], marks[record.mechanism]))
    facts.append(("The load met it", words[record.use], marks[record.use]))
    if record.effect:
        facts.append(("As measured", plain(record.effect), ""))
    if not instant and record.active_s is not None:
        if record.reverted_s is not None:
            facts.append(("Reverted and confirmed", moment(record.reverted_s), "yes"))
        else:
            facts.append(("Reverted", "not confirmed", "no"))
    if record.recovery is not None:
        mark = "no" if math.isinf(record.recovery[1]) else "yes"
        since = "its start" if record.reverted_s is None else "its end"
        facts.append(("Recovered", f"{interval(record.recovery)} after {since}", mark))
    if record.ready_again_s is not None:
        facts.append(("Pods", ready_again(record), "no" if math.isinf(record.ready_again_s) else "yes"))
    if record.detail:
        facts.append(("Detail", plain(record.detail), ""))
    return facts


def _zoom(record: FaultRecord, columns: Sequence[Column]) -> Zoom | None:
    ended_s = record.reverted_s if record.reverted_s is not None else record.active_s
    if record.recovery is None or ended_s is None:
        return None
    low, high = record.recovery
    reach_s = max(_AFTER_S, (high if math.isfinite(high) else low) * 1.3 + 3)
    near = [c for c in columns if ended_s - _BEFORE_S <= c.middle_s <= ended_s + reach_s]
    if reach_s > _LONGEST_S or len(near) < 5:
        return None
    starts_s, ends_s = near[0].starts_s, near[-1].starts_s + near[-1].width_s
    x = Linear(starts_s, ends_s, _LEFT, _WIDTH - 8)
    latencies = [c.p95_s for c in near if c.p95_s and math.isfinite(c.p95_s)] or [0.01]
    least, most, values = decades(min(latencies), max(latencies) * 1.05)
    endless = any(c.p95_s is not None and math.isinf(c.p95_s) for c in near)
    y = Logarithmic(least, most, _BOTTOM, _TOP + (26 if endless else 8))
    ticks = [Tick(_TOP + 2, "infinite")] if endless else []
    shares = Linear(0.0, 1.0, _BOTTOM, _TOP)
    failed = [(c, _BOTTOM, shares(c.failed / c.answered)) for c in near if c.failed and c.answered]
    upper = x(min(ends_s, ended_s + high)) if math.isfinite(high) else _WIDTH - 8
    step = next(s for s in (1, 2, 5, 10, 20, 60, 120, 300) if (ends_s - starts_s) / s <= 10 or s == 300)
    first = math.ceil((starts_s - ended_s) / step) * step
    offsets = [float(t) for t in range(first, math.floor(ends_s - ended_s) + 1, step)]
    return Zoom(
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        top=_TOP,
        bottom=_BOTTOM,
        ended_x=x(ended_s),
        interval=(x(min(ends_s, ended_s + low)), upper),
        recovered=math.isfinite(high),
        p95=_p95(near, x, y),
        errors=bars(x, failed),
        ticks=(*ticks, *(Tick(y(v), duration(v)) for v in values)),
        times=tuple(Tick(x(ended_s + t), f"{t:+g} s" if t else "0") for t in offsets),
        title="Around the " + ("end" if record.reverted_s is not None else "start") + " of the fault",
    )


def _p95(near: Sequence[Column], x: Linear, y: Callable[[float], float]) -> str:
    return polyline(
        [
            None if c.p95_s is None else (x(c.middle_s), _TOP + 2 if math.isinf(c.p95_s) else y(c.p95_s))
            for c in near
        ]
    )
