"""A run as at most some hundred columns for drawing: each shows the worst second of those it stands for.

So a spike of one second is seen in a picture of eight hours. Worst: for a latency the greatest, for
offered and completed the second with the widest gap, for errors the second with the most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaos_locust.events import Recording
from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import ARRIVALS, Window

MOST_COLUMNS = 600


@dataclass(frozen=True, slots=True)
class Column:
    """Rates per second; latencies in seconds from the due time, inf where too many failed, None: no data.

    never: arrivals dropped or lost. errors: failed requests by kind. answered: requests that ended in any
    way and those given up.
    """

    starts_s: int
    width_s: int
    offered: int = 0
    completed: int = 0
    never: int = 0
    answered: int = 0
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    service_p99_s: float | None = None
    unanswered: int = 0
    errors: Mapping[str, int] | None = None

    @property
    def middle_s(self) -> float:
        return self.starts_s + self.width_s / 2

    @property
    def failed(self) -> int:
        return sum((self.errors or {}).values()) + self.unanswered


def columns_of(recording: Recording, most: int = MOST_COLUMNS) -> list[Column]:
    """The run as columns of equal width, from second 0 to its last window."""
    seconds = _seconds(recording)
    width_s = max(1, math.ceil(len(seconds) / most))
    return [_worst(seconds[start : start + width_s]) for start in range(0, len(seconds), width_s)]


def quantile(window: Window, q: float, never: int = 0) -> float | None:
    """From the due time; what failed, had no answer, or was never sent ranks as infinitely slow."""
    n = window.ok + window.failures + window.unanswered + never
    if not n:
        return None
    rank = max(1, math.ceil(q * n - 1e-9 * n))
    return math.inf if rank > window.ok else window.response.quantile(rank / window.ok)


def _seconds(recording: Recording) -> list[Column]:
    """One column for each second."""
    by_second: dict[int, list[tuple[str, Window]]] = {}
    for (second, name), window in recording.windows.items():
        by_second.setdefault(second, []).append((name, window))
    if not by_second:
        return []
    layout = next(iter(recording.windows.values())).layout
    return [_second(s, by_second.get(s, []), layout) for s in range(max(by_second) + 1)]


def _second(second: int, windows: Sequence[tuple[str, Window]], layout: Layout) -> Column:
    arrivals, requests = None, Window(layout)
    for name, window in windows:
        if name == ARRIVALS:
            arrivals = window
        else:
            requests.add_window(window)
    never = arrivals.dropped + arrivals.lost if arrivals else 0
    return Column(
        starts_s=second,
        width_s=1,
        offered=arrivals.offered if arrivals else requests.sent,
        completed=arrivals.ok if arrivals else requests.ok,
        never=never,
        answered=requests.ok + requests.failures + requests.unanswered,
        p50_s=quantile(requests, 0.5, never),
        p95_s=quantile(requests, 0.95, never),
        p99_s=quantile(requests, 0.99, never),
        service_p99_s=requests.service.quantile(0.99),
        unanswered=requests.unanswered,
        errors=dict(requests.failed),
    )


def _worst(seconds: Sequence[Column]) -> Column:
    if len(seconds) == 1:
        return seconds[0]
    widest = max(seconds, key=lambda c: (c.offered - c.completed, -c.completed))
    failing = max(seconds, key=lambda c: c.failed)
    return Column(
        starts_s=seconds[0].starts_s,
        width_s=seconds[-1].starts_s + 1 - seconds[0].starts_s,
        offered=widest.offered,
        completed=widest.completed,
        never=max(c.never for c in seconds),
        answered=failing.answered,
        p50_s=_greatest([c.p50_s for c in seconds]),
        p95_s=_greatest([c.p95_s for c in seconds]),
        p99_s=_greatest([c.p99_s for c in seconds]),
        service_p99_s=_greatest([c.service_p99_s for c in seconds]),
        unanswered=failing.unanswered,
        errors=failing.errors,
    )


def _greatest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
