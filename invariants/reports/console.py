"""The invariants of a run on the terminal."""

from __future__ import annotations

import textwrap
import threading
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from chaos_locust.reports.text import exit_text, plain
from invariants.judged import Judged
from invariants.reports.words import facts_of, file_names, numbers_of, sentence_of, steps_of
from invariants.suite import Case, Suite

WIDTH = 100
SHOWN_AFTER_S = 2.0
"""What is done sooner needs no progress."""

_FIRST = 14  # columns of the outcome
_ANSI = {"UPHELD": "32", "DEVIATED": "31", "INCONCLUSIVE": "33", "NOT BOUND": "2"}


def render_case(case: Case, colour: bool = False) -> str:
    """The outcome, what was claimed, and why it is so, of a case that was run."""
    assert case.ended is not None
    lines = [f"{_word(case.word, colour)}{case.invariant}", *_indented(case.statement)]
    if case.doubt:
        lines += _indented(case.doubt)
    result = case.ended.result
    if result is None:
        return "\n".join(lines)
    for found in result.violations:
        lines += _indented(found.title)
        lines += _indented("; ".join(facts_of(found)))
        lines += [f"{' ' * (_FIRST + 2)}{plain(step)}" for step in steps_of(found)]
    lines += _indented(numbers_of(result))
    if result.never_fired:
        lines += _indented(f"never called: {', '.join(result.never_fired)}")
    return "\n".join(lines)


def render_end(suite: Suite, folder: Path | None, colour: bool = False) -> str:
    """The verdict over all of them, and where the files are."""
    lines = []
    unbound = [case.invariant for case in suite.cases if case.ended is None]
    if unbound:
        first, *more = _indented(", ".join(unbound))
        lines += [_word("NOT BOUND", colour) + first.strip(), *more]
    lines.append(f"{_word(suite.word, colour)}{plain(sentence_of(suite))}")
    lines.append(f"{'exit code':<{_FIRST}}{exit_text(suite.exit_code)}")
    if folder is not None:
        lines.append(f"{'report':<{_FIRST}}{folder / 'report.html'}")
        for case in suite.cases:
            for name in file_names(case):
                lines.append(
                    f"{'to see it':<{_FIRST}}chaos-locust invariants replay {folder / name}.violation.json"
                )
    return "\n".join(lines)


def render_judged(judged: Judged, colour: bool = False) -> str:
    """What a checker says of a history."""
    lines = [f"{_word(judged.word, colour)}{judged.checker}"]
    if judged.word == "INCONCLUSIVE":
        lines += _indented(judged.checked.inconclusive)
    for violation in judged.checked.violations:
        lines += _indented(violation.title)
        lines += [f"{' ' * (_FIRST + 2)}{plain(str(operation))}" for operation in violation.operations]
    lines += _indented(", ".join(f"{count} {what}" for what, count in judged.checked.seen.items()))
    return "\n".join(lines)


class Progress:
    """A bar for the invariant that is run, on a terminal, from 2 s on."""

    def __init__(self, stream: TextIO) -> None:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        )  # fmt: skip
        self._console = Console(file=stream)
        self._bars = Bars(*columns, console=self._console, transient=True)
        self._task = self._bars.add_task("", total=None)
        self._name, self._due = "", threading.Event()
        self._timer = threading.Timer(SHOWN_AFTER_S, self._start)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._stop()

    def show(self, name: str, done: int, of: int) -> None:
        """done: sequences, of how many; 0 of 0 before it is known."""
        if name != self._name:
            self._name = name
            self._bars.reset(self._task)
        self._bars.update(self._task, description=name, completed=done, total=of or None)
        if self._due.is_set():
            self._start()

    def _start(self) -> None:
        self._due.set()
        if self._console.is_terminal:
            self._bars.start()

    def print(self, text: str) -> None:
        """On stdout, above the bar."""
        self._stop()
        print(text, flush=True)

    def _stop(self) -> None:
        if self._console.is_terminal:
            self._bars.stop()


def _indented(text: str) -> list[str]:
    space = " " * _FIRST
    return textwrap.wrap(plain(text), WIDTH, initial_indent=space, subsequent_indent=space)


def _word(word: str, colour: bool) -> str:
    padded = f"{word:<{_FIRST}}"
    return f"\x1b[{_ANSI[word]}m{padded}\x1b[0m" if colour else padded
