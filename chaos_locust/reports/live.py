"""What is shown while a run goes on: a line that moves on a terminal, else one plain line every 10 s."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from chaos_locust.reports.text import count, duration, moment, plain, rate, share, span
from chaos_locust.watch import Figures

PLAIN_EVERY_S = 10.0
_BAR_WIDTH = 24


class LiveLine:
    """Writes to `stream` (stderr). `update` about once a second; `close` at the end of a run.

    After `close` the next `update` begins anew, for the next run of the same process.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live: Live | None = None
        self._next_plain_s = 0.0

    def update(
        self, *, now_s: float, duration_s: float, step: str, faults: Sequence[str], figures: Figures
    ) -> None:
        """Show this moment. duration_s: of the load, inf when it has no end. faults: those active now."""
        if self._stream.isatty():
            self._show(_line(now_s, duration_s, step, faults, figures))
        elif now_s >= self._next_plain_s:
            self._next_plain_s = (now_s // PLAIN_EVERY_S + 1) * PLAIN_EVERY_S
            parts = [_time(now_s, duration_s), *_words(step, faults, figures)]
            self._stream.write(_encodable("  ".join(filter(None, parts)), self._stream) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Take the moving line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._next_plain_s = 0.0

    def _show(self, line: Table) -> None:
        if self._live is None:
            console = Console(file=self._stream, highlight=False)
            # Refreshed by update alone: no thread of rich's runs beside the load.
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(line, refresh=True)


def _line(now_s: float, duration_s: float, step: str, faults: Sequence[str], figures: Figures) -> Table:
    grid = Table.grid(padding=(0, 2))
    cells: list[Text | ProgressBar] = []
    if math.isfinite(duration_s):
        bar = ProgressBar(total=duration_s, completed=min(now_s, duration_s), width=_BAR_WIDTH)
        cells.append(bar)
    cells.append(Text(_time(now_s, duration_s)))
    at, broken, *rest = _words(step, faults, figures)
    cells += [Text(at, style="bold"), Text(broken, style="bold red"), *map(Text, rest)]
    grid.add_row(*cells)
    return grid


def _time(now_s: float, duration_s: float) -> str:
    left = f", {span(max(0.0, duration_s - now_s))} left" if math.isfinite(duration_s) else ""
    return f"{moment(max(0.0, now_s))}{left}"


def _words(step: str, faults: Sequence[str], figures: Figures) -> list[str]:
    failed = f"{share(figures.error_rate)} errors ({count(figures.failed)} of {count(figures.sent)})"
    done = f"{rate(figures.completed_rps)} completed"
    offered = f"{rate(figures.offered_rps)} offered, " if figures.offered_rps else ""
    return [
        plain(step),
        "+ " + ", ".join(map(plain, faults)) if faults else "",
        offered + done,
        f"p99 {duration(figures.p99_s)}",
        failed,
    ]


def _encodable(text: str, stream: TextIO) -> str:
    encoding = stream.encoding or "ascii"
    return text.encode(encoding, "replace").decode(encoding)
