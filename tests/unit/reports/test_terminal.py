"""The table fits 80 columns, says all that matters, and is plain where it must be; so is the live line."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

from chaos_locust.events import Recording
from chaos_locust.judge.verdict import Verdict
from chaos_locust.reports.findings import failures_first
from chaos_locust.reports.live import LiveLine
from chaos_locust.reports.terminal import print_verdict, render
from chaos_locust.reports.text import bound_of, interval, margin_of, value_of
from chaos_locust.watch import Figures

Run = tuple[Verdict, Recording]
FIGURES = Figures(50.0, 48.2, 0.0812, 0.021, 1200, 25)


class Terminal(io.StringIO):
    """A text stream that may be a terminal, with an encoding."""

    def __init__(self, tty: bool, encoding: str) -> None:
        super().__init__()
        self._tty, self._encoding = tty, encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._tty


def test_the_table_fits_80_columns_and_names_everything(run: Run) -> None:
    verdict, _ = run
    first = failures_first(verdict.findings)[0]
    text = render(*run, folder=Path("results/20261121_114500"))
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()
    joined = " ".join(text.split())
    for needed in (
        f"{value_of(first)} {bound_of(first)} 650 {margin_of(first)}",
        f"slow-db 40.0 s 40.2 s 55.1 s {interval(verdict.faults[0].recovery)}",
        "kill on payments: done",
        "8,498 sent = 8,335 ok + 161 failed + 2 unanswered",
        "results/20261121_114500/report.html",
        "3 (deviated)",
    ):
        assert needed in joined


def test_failures_stand_first(run: Run) -> None:
    text = render(*run)
    assert 0 < text.rindex("\n DEVIATED ") < text.index("\n UPHELD ")


def test_a_pipe_gets_no_colour_and_a_terminal_does(run: Run) -> None:
    pipe, terminal = Terminal(False, "utf-8"), Terminal(True, "utf-8")
    print_verdict(pipe, *run)
    print_verdict(terminal, *run)
    assert "\x1b" not in pipe.getvalue()
    assert "\x1b[1;31mDEVIATED" in terminal.getvalue()
    assert re.sub("\x1b.*?m", "", terminal.getvalue()) == pipe.getvalue()


def test_an_ascii_stream_gets_ascii_only(hostile_run: Run) -> None:
    stream = Terminal(False, "ascii")
    verdict, recording = hostile_run
    print_verdict(stream, replace(verdict, plan_name="Prüfung"), recording)
    assert stream.getvalue().isascii()


def test_hostile_text_cannot_steer_the_terminal(hostile_run: Run) -> None:
    assert "\x1b" not in render(*hostile_run)


def test_an_untrusted_generator_is_told_in_capitals(run: Run) -> None:
    verdict, recording = run
    text = render(replace(verdict, trust=replace(verdict.trust, reasons=("its loop was late",))), recording)
    assert re.search(r"NOT TRUSTED +its loop was late", text)


def update(live: LiveLine, now_s: float) -> None:
    live.update(now_s=now_s, duration_s=140.0, step="base", faults=("slow-db",), figures=FIGURES)


def test_without_a_terminal_there_is_one_plain_line_every_ten_seconds() -> None:
    stream = Terminal(False, "ascii")
    live = LiveLine(stream)
    for second in range(26):
        update(live, second + 0.3)
    live.close()
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == ["0.3 s", "10.3 s", "20.3 s"]
    assert "2 min left" in lines[2]
    rates, errors = "50/s offered, 48.2/s completed", "2.1 % errors (25 of 1,200)"
    told = ("base", "+ slow-db", rates, "p99 81.2 ms", errors)
    assert [needed for needed in told if needed not in lines[0]] == []


def test_each_run_of_a_process_begins_anew() -> None:
    stream = Terminal(False, "ascii")
    live = LiveLine(stream)
    update(live, 95.0)
    live.close()
    update(live, 1.0)
    assert len(stream.getvalue().splitlines()) == 2


def test_a_load_without_end_shows_no_time_left() -> None:
    stream = Terminal(False, "ascii")
    LiveLine(stream).update(now_s=3.0, duration_s=float("inf"), step="", faults=(), figures=FIGURES)
    assert "left" not in stream.getvalue()
    assert stream.getvalue().startswith("3.0 s  50/s offered")


def test_on_a_terminal_the_line_moves_and_is_taken_away() -> None:
    stream = Terminal(True, "utf-8")
    live = LiveLine(stream)
    update(live, 1.0)
    update(live, 2.0)
    assert "slow-db" in stream.getvalue()
    live.close()
    assert stream.getvalue().endswith("\x1b[?25h") or "\x1b[2K" in stream.getvalue()
