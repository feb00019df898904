"""An audit on the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.status import Status

from chaos_locust.reports.text import plain
from compliance.outputs.report import TRAIL, Report
from compliance.outputs.words import (
    NO_CERTIFICATE,
    STATE_WORDS,
    WHY_NOT,
    counts_of,
    exit_of,
    findings_of,
    not_assessed_of,
    percentages_of,
    word_of,
)
from compliance.result import Violation
from compliance.rollup import Judged

WIDTH = 100
FIRST = 22  # columns of what a line is about
ANSI = {"VIOLATIONS": "31", "NO VIOLATIONS": "32", "NOT FULLY ASSESSED": "33"}
_ANSI_SEVERITY = {"critical": "31;1", "high": "31", "medium": "33", "low": "36"}


def render(report: Report, folder: Path, colour: bool = False) -> str:
    """Counts that add up, violations with what is to be done by when, what was not assessed and why."""
    result = report.result
    word = word_of(result)
    lines = [
        _line(
            f"{result.framework.id} {result.profile.name}",
            f"{result.framework.title}, {result.profile.title}, of {result.target}",
        ),
        _painted(word, ANSI[word] if colour else "") + percentages_of(result),
        "",
        *[f"{count:>8}  {STATE_WORDS[state]}" for state, count in counts_of(result)],
        f"{result.total_controls:>8}  controls",
        "",
    ]
    for found in findings_of(result):
        lines += [*_finding(found, colour), ""]
    lines += _not_assessed(report)
    lines += _difference(report)
    lines += [_line("exit code", exit_of(report)), *(_line("", each) for each in report.gated.reasons)]
    if report.entry is not None:
        lines.append(_line("trail", f"{folder.parent / TRAIL}, entry {report.entry.number}"))
        lines.append(_line("its hash", report.entry.hash))
    lines += [_line("report", str(folder / "report.html")), "", *textwrap.wrap(NO_CERTIFICATE, WIDTH)]
    return "\n".join(lines)


class Progress:
    """Which measure is being taken: a line that changes on a terminal, else a line for each."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._status: Status | None = None
        self._count = 0

    def show(self, measure: str) -> None:
        self._count += 1
        if not self._console.is_terminal:
            print(f"measuring {measure}", file=self._console.file, flush=True)
        elif self._status is None:
            self._status = self._console.status(measure)
            self._status.start()
        else:
            self._status.update(f"{measure} ({self._count})")

    def stop(self) -> None:
        if self._status is not None:
            self._status.stop()


def _finding(found: Sequence[Violation], colour: bool) -> list[str]:
    violation, severity = found[0], found[0].severity
    first, *more = _wrapped(" " * FIRST, _controls(found))
    notes = [f"mend by {violation.target_date}", violation.responsible_team, f"check {violation.check}"]
    notes += ["being mended"] if violation.in_progress else []
    notes += ["waived: fails no gate"] if violation.waived else []
    space = " " * FIRST
    return [
        _painted(severity.upper(), _ANSI_SEVERITY[severity] if colour else "") + first.strip(),
        *more,
        *_wrapped(space, violation.violation_description),
        *_wrapped(space, "; ".join(notes)),
        *[line for step in violation.remediation for line in _wrapped(space, step, "- ")],
    ]


def _controls(found: Sequence[Violation]) -> str:
    if len(found) == 1:
        return f"{found[0].control_id} {found[0].control_description}"
    return ", ".join(each.control_id for each in found)


def _not_assessed(report: Report) -> list[str]:
    lines = []
    for reason, controls in not_assessed_of(report.result).items():
        lines += _block("NOT ASSESSED", f"{len(controls)}: {WHY_NOT[reason]}")
        lines += _wrapped(" " * FIRST, ", ".join(each.control.id for each in controls))
        if reason == "not_known":
            for text, measures in _unmeasured(controls).items():
                lines += _wrapped(" " * FIRST, f"{text} ({', '.join(sorted(measures))})", "- ")
    return [*lines, ""] if lines else []


def _unmeasured(controls: Sequence[Judged]) -> dict[str, set[str]]:
    """Measures by why nothing is known."""
    found: dict[str, set[str]] = {}
    for judged in controls:
        for outcome in judged.outcomes:
            if outcome.answer == "not_known":
                found.setdefault(outcome.text, set()).add(outcome.check.measure)
    return found


def _difference(report: Report) -> list[str]:
    if report.difference is None:
        return [_line("before", "there is no earlier audit to compare with"), ""]
    told = report.difference
    lines = [_line("since", told.since)]
    for name, keys in (("new", told.new), ("gone", told.gone), ("not seen again", told.not_seen)):
        if keys:
            lines += _block("", f"{name}: " + ", ".join(f"{control} ({check})" for control, check in keys))
    lines.append(_line("", f"{len(told.new)} new, {len(told.still)} still there, {len(told.gone)} gone"))
    return [*lines, ""]


def _block(name: str, text: str) -> list[str]:
    first, *more = _wrapped(" " * FIRST, text)
    return [f"{name:<{FIRST}}{first.strip()}", *more]


def _wrapped(space: str, text: str, mark: str = "") -> list[str]:
    return textwrap.wrap(
        plain(text), WIDTH, initial_indent=space + mark, subsequent_indent=space + " " * len(mark)
    )


def _line(name: str, text: str) -> str:
    return f"{name:<{FIRST}}{plain(text)}"


def _painted(word: str, ansi: str) -> str:
    padded = f"{word:<{FIRST}}"
    return f"\x1b[{ansi}m{padded}\x1b[0m" if ansi else padded
