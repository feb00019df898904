"""A history as lanes in time: one for each process, its operations as bars, the faults as bands behind them.

Time is drawn by what came before what, not by seconds: each beginning and each end has a place of its own, so
that operations of microseconds are seen beside those of seconds, and what overlaps did so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chaos_locust.reports.text import duration, plain, shorten
from invariants.events import Event, events_of
from invariants.history import History, Operation

MOST = 60
"""So many operations are drawn; of a longer history those that prove the violation."""

_LEFT, _TOP, _ROW, _BAR, _BAND = 92.0, 30.0, 34.0, 22.0, 18.0
_WIDTH = 1120.0
_LEAST_SLOT, _MOST_SLOT = 20.0, 96.0
_LETTER = 6.3
_SIGNS = {"ok": "✓", "fail": "✕", "info": "?"}


@dataclass(frozen=True, slots=True)
class Bar:
    """kind: ok, fail or info. proof: it is one of the operations that prove the violation."""

    x: float
    y: float
    width: float
    kind: str
    label: str
    title: str
    proof: bool


@dataclass(frozen=True, slots=True)
class Band:
    x: float
    width: float
    name: str
    label_y: float


@dataclass(frozen=True, slots=True)
class Lanes:
    """names: (of a process, the y of its text). ticks: (x, time since the first beginning)."""

    width: float
    height: float
    left: float
    top: float
    bottom: float
    bar_height: float
    names: tuple[tuple[str, float], ...]
    bars: tuple[Bar, ...]
    bands: tuple[Band, ...]
    ticks: tuple[tuple[float, str], ...]
    left_out: int


def lanes_of(history: History, proof: Sequence[Operation]) -> Lanes:
    """proof: the operations that prove the violation."""
    shown = list(history) if len(history) <= MOST else _those_of(history, proof)
    events = events_of(shown)
    slot = min(_MOST_SLOT, max(_LEAST_SLOT, (_WIDTH - _LEFT) / max(1, len(events))))
    places = {(id(event.operation), event.end): place for place, event in enumerate(events)}
    processes = sorted({op.process for op in shown}, key=_by_number)
    bands = _bands(history.faults, events, slot)
    top = _TOP + _BAND * len({band.name for band in bands})
    width = _LEFT + slot * len(events) + 12
    proven = {(op.process, op.number) for op in proof}
    bars = []
    for operation in shown:
        begin = _LEFT + slot * places[id(operation), False]
        end_place = places.get((id(operation), True), len(events))
        length = _LEFT + slot * end_place - begin
        y = top + _ROW * processes.index(operation.process) + (_ROW - _BAR) / 2
        sign, text = _SIGNS[operation.outcome], plain(str(operation).partition(": ")[2])
        room = max(1, int((length - 8) / _LETTER) - 2)
        bars.append(
            Bar(
                begin,
                y,
                length,
                operation.outcome,
                f"{sign} {shorten(_briefly(operation), room) if room > 3 else ''}".strip(),
                f"{operation.process}: {text}, {_when(operation, shown[0])}",
                (operation.process, operation.number) in proven,
            )
        )
    bottom = top + _ROW * len(processes)
    names = tuple(
        (shorten(plain(process), 12), top + _ROW * place + _ROW / 2 + 4)
        for place, process in enumerate(processes)
    )
    left_out = len(history) - len(shown)
    ticks = _ticks(events, slot)
    return Lanes(
        width, bottom + 24, _LEFT, top, bottom, _BAR, names, tuple(bars), tuple(bands), ticks, left_out
    )


def _those_of(history: History, proof: Sequence[Operation]) -> list[Operation]:
    """As they are in the history; the proof's own where it was judged apart from it."""
    wanted = {(op.process, op.number) for op in proof[:MOST]}
    return [op for op in history if (op.process, op.number) in wanted] or list(proof[:MOST])


def _by_number(process: str) -> tuple[tuple[float, str], ...]:
    """`2` before `10`, and `2.1` after `2`."""
    parts = process.replace("/", ".").split(".")
    return tuple((float(part) if part.isdigit() else math.inf, part) for part in parts)


def _briefly(operation: Operation) -> str:
    """Without the process and without what came of it, which the bar itself shows."""
    asked = str(operation).partition(": ")[2].partition(" -> ")
    answer = asked[2].partition(" ")[2] if operation.happened else ""
    return plain(f"{asked[0]} = {answer}" if answer else asked[0])


def _when(operation: Operation, first: Operation) -> str:
    begin = duration(operation.start_s - first.start_s)
    if math.isinf(operation.end_s):
        return f"asked at {begin}, never answered"
    return f"from {begin}, {duration(operation.end_s - operation.start_s)} long"


def _bands(faults: Sequence[tuple[str, float, float]], events: Sequence[Event], slot: float) -> list[Band]:
    """Between the events that were before it and those that were after it."""
    rows = {name: place for place, name in enumerate(dict.fromkeys(name for name, _, _ in faults))}
    bands = []
    for name, from_s, to_s in faults:
        begin = sum(event.at_s < from_s for event in events)
        end = sum(event.at_s <= to_s for event in events)
        x = _LEFT + slot * (begin - 0.5)
        label_y = _TOP + _BAND * rows[name] - 6
        bands.append(Band(x, max(slot * (end - begin), 3.0), shorten(plain(name), 30), label_y))
    return bands


def _ticks(events: Sequence[Event], slot: float) -> tuple[tuple[float, str], ...]:
    """Times under every so many events, as near as their text allows."""
    every = max(1, math.ceil(64 / slot))
    first_s = events[0].at_s if events else 0.0
    return tuple(
        (_LEFT + slot * place, duration(events[place].at_s - first_s))
        for place in range(0, len(events), every)
    )
