"""Audits by several frameworks on the terminal and in a mail: a verdict each, and the exit code of all."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from chaos_locust.reports.text import plain
from compliance.gate import worst
from compliance.outputs.console import ANSI, FIRST, WIDTH
from compliance.outputs.report import TRAIL, Report
from compliance.outputs.words import NO_CERTIFICATE, exit_of, meaning_of, percentages_of, sentence_of, word_of

GRAVEST = ("VIOLATIONS", "NOT FULLY ASSESSED", "NO VIOLATIONS")


def render(reports: Sequence[tuple[Report, Path]], colour: bool = False) -> str:
    """reports: with their folders. What was found is in their pages."""
    lines = []
    for report, folder in reports:
        result, word = report.result, word_of(report.result)
        first, *more = _wrapped(f"{result.framework.title}, {result.profile.title}, of {result.target}")
        shown = f"{word:<{FIRST}}"
        lines.append((f"\x1b[{ANSI[word]}m{shown}\x1b[0m" if colour else shown) + first.strip())
        lines += more
        for text in (sentence_of(result), percentages_of(result), f"exit code {exit_of(report)}"):
            lines += _wrapped(text)
        lines += [line for reason in report.gated.reasons for line in _wrapped(f"- {reason}")]
        lines += [" " * FIRST + str(folder / "report.html"), ""]
    code = worst(report.gated.exit_code for report, _ in reports)
    lines.append(f"{'exit code':<{FIRST}}{code} ({meaning_of(code)}), the worst of {len(reports)}")
    last, folder = reports[-1]
    if last.entry is not None:
        lines.append(f"{'trail':<{FIRST}}{folder.parent / TRAIL}, up to entry {last.entry.number}")
        lines.append(f"{'its hash':<{FIRST}}{last.entry.hash}")
    return "\n".join([*lines, "", *textwrap.wrap(NO_CERTIFICATE, WIDTH)])


def subject(reports: Sequence[tuple[Report, Path]]) -> str:
    """Of one audit what it is of; of several the gravest word of them."""
    results = [report.result for report, _ in reports]
    word = min((word_of(each) for each in results), key=GRAVEST.index)
    frameworks = ", ".join(f"{each.framework.id} {each.profile.name}" for each in results)
    return f"{word}: {frameworks} of {results[0].target}"


def _wrapped(text: str) -> list[str]:
    space = " " * FIRST
    return textwrap.wrap(plain(text), WIDTH, initial_indent=space, subsequent_indent=space)
