"""A history as what happened one after the other: operations begin and end."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from invariants.history import Operation


@dataclass(frozen=True, slots=True)
class Event:
    """end: it is the operation's answer; an operation without an answer has none."""

    operation: Operation
    end: bool

    @property
    def at_s(self) -> float:
        return self.operation.end_s if self.end else self.operation.start_s


def events_of(operations: Iterable[Operation]) -> list[Event]:
    """In order of time. Where a clock shows the same for several, those of one process follow each other, and
    those of different processes overlap, as nothing tells which was first, where one order can show it."""
    events = []
    for operation in operations:
        events.append(Event(operation, end=False))
        if math.isfinite(operation.end_s):
            events.append(Event(operation, end=True))
    events.sort(key=lambda event: (event.at_s, event.operation.number, event.end))
    ordered: list[Event] = []
    busy: set[str] = set()
    for _, group in groupby(events, key=lambda event: event.at_s):
        waiting, before = list(group), 0
        while len(waiting) != before:
            before = len(waiting)
            waiting = _round(waiting, busy, ordered)
        ordered += waiting  # of a process that does two things at a time
    return ordered


def _round(waiting: list[Event], busy: set[str], ordered: list[Event]) -> list[Event]:
    """One beginning for each process that is free, then one end for each that is busy; gives the rest."""
    ended: set[str] = set()
    begun: set[str] = set()
    rest, ends = [], []
    for event in waiting:
        process = event.operation.process
        if event.end and process not in ended:
            ends.append(event)
            ended.add(process)
        elif not event.end and process not in busy and process not in begun and process not in ended:
            ordered.append(event)
            begun.add(process)
        else:
            rest.append(event)
    busy |= begun
    ordered += ends
    busy -= ended
    return rest
