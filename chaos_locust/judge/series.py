"""The windows of a run as series by second: how many requests, how many of them bad; sums over stretches."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from chaos_locust.measure.window import ARRIVALS, Window
from chaos_locust.plan.load import Load

BLOCK_S = 60
_ANSWERED = re.compile(r"HTTP \d{3}")


@dataclass(frozen=True, slots=True)
class Bad:
    """What counts as bad.

    slow: a response time at or above a limit in ns that lies in [least_ns, most_ns] (the same, when it is
    known exactly), failures included unless `ok_only`. failed: no success. dropped: arrivals that no user
    took. short: arrivals that were offered and did not end well.
    """

    kind: Literal["slow", "failed", "dropped", "short"]
    least_ns: int = 0
    most_ns: int = 0
    ok_only: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """Of `n` requests between `least` and `most` were bad.

    seen: of these, bad ones that came of requests the load really sent (not dropped, not lost).
    answered: bad ones that the target itself answered with an error, which no fault of ours can feign.
    """

    n: int
    least: int
    most: int
    seen: int
    answered: int


_Row = tuple[int, int, int, int, int]


class Series:
    """The windows of a run, by name and second. now_s: of a run that still goes on, for what is in flight."""

    def __init__(
        self, windows: Mapping[tuple[int, str], Window], load: Load | None, now_s: float | None = None
    ) -> None:
        self._now_s = now_s
        self._by_name: dict[str, dict[int, Window]] = {}
        for (second, name), window in windows.items():
            self._by_name.setdefault(name, {})[second] = window
        self.names = sorted(name for name in self._by_name if name != ARRIVALS)
        self.arrivals = self._by_name.get(ARRIVALS, {})
        self.open = bool(self.arrivals) if load is None else load.workload == "open"
        self.first = min((second for second, _ in windows), default=0)
        self.end = max((second + 1 for second, _ in windows), default=0)
        self._sums: dict[tuple[Bad, str | None], list[list[int]]] = {}
        self._blocks: dict[tuple[str, int], Window] = {}

    def of(self, subject: str | None) -> list[dict[int, Window]]:
        """The windows by second of one request name, or of all names."""
        names = self.names if subject is None else [subject]
        return [self._by_name[name] for name in names if name in self._by_name]

    def tally(self, bad: Bad, subject: str | None, seconds: range) -> Tally:
        """The sums over `seconds` (contiguous). All requests (subject None) include arrivals never sent."""
        sums = self._sums.get((bad, subject))
        if sums is None:
            rows = self._rows(bad, subject)
            sums = [[0, *accumulate(column)] for column in zip(*rows, strict=True)] if rows else [[0]] * 5
            self._sums[bad, subject] = sums
        last = len(sums[0]) - 1
        start = min(max(0, seconds.start - self.first), last)
        stop = min(max(start, seconds.stop - self.first), last)
        return Tally(*(column[stop] - column[start] for column in sums))

    def batches(self, bad: Bad, subject: str | None, seconds: range, count: int) -> list[tuple[int, int]]:
        """(bad, all) of up to `count` parts of `seconds`, in order of time; empty parts left out."""
        parts = min(count, len(seconds))
        tallies = [
            self.tally(bad, subject, seconds[len(seconds) * i // parts : len(seconds) * (i + 1) // parts])
            for i in range(parts)
        ]
        return [(tally.least, tally.n) for tally in tallies if tally.n]

    def merged(self, name: str, seconds: range) -> Window | None:
        """All windows of a name in `seconds` as one; None: there were none. Blocks of a minute are kept."""
        windows = self._by_name.get(name, {})
        total: Window | None = None
        second = max(seconds.start, self.first)
        stop = min(seconds.stop, self.end)
        while second < stop:
            if second % BLOCK_S == 0 and second + BLOCK_S <= stop:
                part, step = self._block(name, second), BLOCK_S
            else:
                part, step = windows.get(second), 1
            second += step
            if part is not None:
                total = total or Window(part.layout)
                total.add_window(part)
        return total

    def total(self, subject: str | None, seconds: range) -> Window | None:
        """As `merged`, over all names when `subject` is None; the ARRIVALS window is not in it."""
        total: Window | None = None
        for name in self.names if subject is None else [subject]:
            part = self.merged(name, seconds)
            if part is not None:
                total = total or Window(part.layout)
                total.add_window(part)
        return total

    def _block(self, name: str, start: int) -> Window | None:
        found = self._blocks.get((name, start))
        if found is None:
            windows = self._by_name[name]
            parts = [windows[s] for s in range(start, start + BLOCK_S) if s in windows]
            if not parts:
                return None
            found = self._blocks[name, start] = Window(parts[0].layout)
            for part in parts:
                found.add_window(part)
        return found

    def _rows(self, bad: Bad, subject: str | None) -> list[_Row]:
        """One row a second from `first` on."""
        rows: list[_Row] = []
        if bad.kind in ("dropped", "short"):
            count = _dropped if bad.kind == "dropped" else _short
            for second in range(self.first, self.end):
                window = self.arrivals.get(second)
                rows.append(count(window) if window else (0, 0, 0, 0, 0))
            return rows
        groups = self.of(subject)
        with_arrivals = subject is None and not bad.ok_only
        row_of: Callable[[Window, Bad, bool], _Row] = _slow if bad.kind == "slow" else _failed
        for second in range(self.first, self.end):
            n = least = most = seen = answered = 0
            overdue = self._now_s is not None and self._now_s - second - 1 >= bad.most_ns / 1e9
            for group in groups:
                window = group.get(second)
                if window is not None:
                    row = row_of(window, bad, overdue)
                    n, least, most = n + row[0], least + row[1], most + row[2]
                    seen, answered = seen + row[3], answered + row[4]
            if with_arrivals and second in self.arrivals:
                never = self.arrivals[second].dropped + self.arrivals[second].lost
                n, least, most = n + never, least + never, most + never
            rows.append((n, least, most, seen, answered))
        return rows


def answered_failures(window: Window) -> int:
    """Failures that the target itself answered, such as `HTTP 503`."""
    return sum(count for kind, count in window.failed.items() if _ANSWERED.fullmatch(kind))


def _slow(window: Window, bad: Bad, overdue: bool) -> _Row:
    """overdue: what is in flight has already been waiting longer than the limit."""
    flying = max(0, window.in_flight)
    surely, perhaps = window.response.count_at_or_above(bad.most_ns)
    if bad.least_ns != bad.most_ns:
        perhaps = window.response.count_at_or_above(bad.least_ns)[1]
    if bad.ok_only:
        return window.ok + flying, surely, perhaps + flying, surely, 0
    failed = window.failures + window.unanswered + (flying if overdue else 0)
    most = window.failures + window.unanswered + flying + perhaps
    n = window.ok + window.failures + window.unanswered + flying
    return n, surely + failed, most, surely + failed, answered_failures(window)


def _failed(window: Window, bad: Bad, overdue: bool) -> _Row:
    flying = max(0, window.in_flight)
    failed = window.failures + window.unanswered
    return window.ok + failed + flying, failed, failed + flying, failed, answered_failures(window)


def _dropped(window: Window) -> _Row:
    return window.offered, window.dropped, window.dropped, 0, 0


def _short(window: Window) -> _Row:
    short = max(0, window.offered - window.ok)
    flying = min(short, max(0, window.in_flight))
    seen = min(short, window.failures + window.unanswered)
    return window.offered, short - flying, short, seen, answered_failures(window)
