"""The longest stretch without success, among the requests due in it; known to a tenth of a second."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chaos_locust.judge.course import Stretch
from chaos_locust.judge.series import Series
from chaos_locust.measure.window import SLOTS


@dataclass(frozen=True, slots=True)
class Outage:
    """interval: its length in s, (0, 0) when there was none; the upper end is inf when it lasted to the end
    of the load. starts_s: when it began, in seconds of the run."""

    interval: tuple[float, float]
    starts_s: float


def longest_outage(series: Series, subject: str | None, stretch: Stretch, since_s: float) -> Outage | None:
    """The longest outage in `stretch`; None: nothing was due.

    Its length runs from the success before it to the success after it, by due time. It counts to the edge
    of `stretch` at least; the greatest it can be runs on, back to `since_s` (when the fault was asked for)
    and forth to the next success, for the system was not seen to work at the edge.
    """
    start = math.ceil(round(stretch.starts_s * SLOTS, 6))
    stop = math.floor(round(stretch.ends_s * SLOTS, 6))
    if start >= stop:
        return None
    before, end = min(start, math.floor(since_s * SLOTS)), max(stop, series.end * SLOTS)
    groups = series.of(subject)
    arrivals = [series.arrivals] if subject is None and series.open else []
    worst, any_due = Outage((0.0, 0.0), stretch.starts_s), False
    last_ok, failing = before - 1, False

    def close(next_ok: int | None) -> None:
        """A stretch ends: `next_ok` is the slot of the success that ends it, None: none came."""
        nonlocal worst
        inner_from, inner_to = max(last_ok + 1, start), min(end if next_ok is None else next_ok, stop)
        if not failing or inner_to <= inner_from:
            return
        longest = math.inf if next_ok is None else (next_ok - last_ok + 1) / SLOTS
        found = (inner_to - inner_from) / SLOTS, longest
        if found > worst.interval:
            worst = Outage(found, inner_from / SLOTS)

    for slot in range(before, end):
        second, bit = slot // SLOTS, 1 << slot % SLOTS
        windows = [group[second] for group in groups if second in group]
        if any(window.ok_slots & bit for window in windows):
            any_due = any_due or start <= slot < stop
            close(slot)
            last_ok, failing = slot, False
            if slot >= stop:
                return worst if any_due else None
            continue
        windows += [group[second] for group in arrivals if second in group]
        if start <= slot < stop and any(window.due_slots & bit for window in windows):
            any_due = failing = True
    close(None)
    return worst if any_due else None
