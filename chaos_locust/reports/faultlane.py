"""The lane of the faults: when each was asked for, acted, was undone, and when the target had recovered."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chaos_locust.events import EffectSeen, Recording, SteadyState
from chaos_locust.judge.verdict import FaultRecord, Verdict
from chaos_locust.plan.model import Plan
from chaos_locust.reports.findings import state_of
from chaos_locust.reports.scale import Linear
from chaos_locust.reports.text import interval, moment, plain, shorten

_STRIP = 10.0
_ROW = 26.0
_BAR = 14.0


@dataclass(frozen=True, slots=True)
class Block:
    x: float
    width: float
    kind: str


@dataclass(frozen=True, slots=True)
class FaultRow:
    """y: the top of the bar. recovery: x from the end of the fault; lower and upper end of the interval."""

    y: float
    height: float
    name: str
    label: str
    label_x: float
    label_side: str
    title: str
    blocks: tuple[Block, ...]
    effects: tuple[float, ...]
    recovery: tuple[float, float, float] | None
    recovery_text: str
    recovery_x: float
    recovered: bool


@dataclass(frozen=True, slots=True)
class FaultLane:
    """The steady strip lies above the rows of the faults."""

    top: float
    bottom: float
    strip_y: float
    strip_height: float
    strip: tuple[Block, ...]
    rows: tuple[FaultRow, ...]


def fault_lane(plan: Plan, verdict: Verdict, recording: Recording, x: Linear, top: float) -> FaultLane:
    instant = {fault.name for fault in plan.faults if fault.instant}
    rows_top = top + _STRIP + 10
    rows = tuple(
        _row(fault, fault.name in instant, recording, x, rows_top + i * _ROW + (_ROW - _BAR) / 2)
        for i, fault in enumerate(verdict.faults)
    )
    bottom = rows_top + max(1, len(rows)) * _ROW
    return FaultLane(top, bottom, top, _STRIP, tuple(_strip(recording, x)), rows)


def _row(fault: FaultRecord, instant: bool, recording: Recording, x: Linear, y: float) -> FaultRow:
    blocks = tuple(_blocks(fault, instant, x))
    starts = [b.x for b in blocks] or [x(min(max(fault.due_s or 0.0, x.least), x.most))]
    ends = [b.x + b.width for b in blocks] or starts
    recovery = _recovery(fault, x)
    text = f"recovered in {interval(fault.recovery)}" if fault.recovery else ""
    recovered = fault.recovery is not None and math.isfinite(fault.recovery[1])
    if fault.recovery and not recovered:
        text = f"not recovered within {interval(fault.recovery).removeprefix('more than ')}"
    name = shorten(plain(fault.name), 30)
    label = f"{fault.kind} on {plain(fault.target)}"
    if not blocks:
        label += f"  ({state_of(fault)})"
    label = shorten(label, 40)
    seen = [e for e in recording.events if isinstance(e, EffectSeen) and e.fault == fault.name]
    # Beside the bar, on the side with the room for it.
    left_room = min(starts) - x.start
    after = max([*ends, *(recovery or ())]) + 8
    if after + 6.0 * len(text) > x.end:  # no room behind it: told with the name
        label, text = f"{label}, {text}", ""
    side = "end" if left_room > len(name + label) * 6.2 + 26 else "start"
    label_x = min(starts) - 8 if side == "end" else after + (6.4 * len(text) + 12 if text else 0)
    return FaultRow(
        y=y,
        height=_BAR,
        name=name,
        label=label,
        label_x=label_x,
        label_side=side,
        title=f"{name}, {label}: asked {moment(fault.asked_s)}, active {moment(fault.active_s)}, "
        f"reverted {moment(fault.reverted_s)}",
        blocks=blocks,
        effects=tuple(x(e.t_s) for e in seen),
        recovery=recovery,
        recovery_text=text,
        recovery_x=after,
        recovered=recovered,
    )


def _blocks(fault: FaultRecord, instant: bool, x: Linear) -> list[Block]:
    """Hatched while it is not known whether it acts, solid while it is known to."""
    end_s = x.most
    asked_s = fault.asked_s
    if asked_s is None:
        return []
    active_s = fault.active_s
    ends = [t for t in (fault.revert_asked_s, fault.reverted_s) if t is not None]
    if active_s is None:
        return [_block(x, asked_s, min([*ends, end_s]), "unsure")]
    blocks = [_block(x, asked_s, active_s, "unsure")]
    if instant:
        return [*blocks, Block(x(active_s) - 1, 4.0, "instant")]  # a kill: it happened, and that is all
    solid_end_s = min([*ends, end_s])
    blocks.append(_block(x, active_s, solid_end_s, "active"))
    if fault.state == "dirty":
        blocks.append(_block(x, solid_end_s, end_s, "dirty"))
    elif fault.reverted_s is not None:
        blocks.append(_block(x, solid_end_s, fault.reverted_s, "unsure"))
    return blocks


def _block(x: Linear, starts_s: float, ends_s: float, kind: str) -> Block:
    return Block(x(starts_s), max(1.5, x(ends_s) - x(starts_s)), kind)


def _recovery(fault: FaultRecord, x: Linear) -> tuple[float, float, float] | None:
    """It counts from the end of a fault; from the start of one that has no end of its own."""
    since_s = fault.reverted_s if fault.reverted_s is not None else fault.active_s
    if fault.recovery is None or since_s is None:
        return None
    low, high = fault.recovery
    upper = x.end if math.isinf(high) else x(min(since_s + high, x.most))
    return x(since_s), x(min(since_s + low, x.most)), upper


def _strip(recording: Recording, x: Linear) -> list[Block]:
    """Steady, not steady, unknown: each from its event to the next."""
    events = [e for e in recording.events if isinstance(e, SteadyState)]
    if not events:
        return []
    kinds = {True: "steady", False: "unsteady", None: "unknown"}
    merged: list[tuple[float, str]] = []
    for event in events:
        if not merged or merged[-1][1] != kinds[event.steady]:
            merged.append((event.t_s, kinds[event.steady]))
    ends = [*(t for t, _ in merged[1:]), min(x.most, events[-1].t_s + 1)]
    return [Block(x(t), max(0.5, x(end) - x(t)), kind) for (t, kind), end in zip(merged, ends, strict=True)]
