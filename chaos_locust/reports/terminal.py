"""The end of a run on the terminal: one table, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from chaos_locust.events import Recording
from chaos_locust.judge.verdict import FaultRecord, Finding, Outcome, Verdict
from chaos_locust.reports.findings import (
    failures_first,
    ready_again,
    state_of,
    tally,
    title,
    trust_line,
    word,
)
from chaos_locust.reports.text import (
    NOTHING,
    bound_of,
    count,
    exit_text,
    interval,
    margin_of,
    moment,
    plain,
    shorten,
    span,
    value_of,
    without_word,
)

WIDTH = 80
_FIRST = 14  # columns of the outcome, the fault's name, the label
_COLUMNS = (19, 18, 9)  # of value, bound, samples; the rest is the margin's
_FAULT_COLUMNS = (11, 11, 11)  # of due, active, reverted; the rest is the recovery's
_ANSI: Mapping[str, str] = {
    "UPHELD": "32",
    "DEVIATED": "31",
    "INCONCLUSIVE": "33",
    "NOT RUN": "33",
    "WARNING": "33",
}


def render(
    verdict: Verdict,
    recording: Recording,
    *,
    folder: Path | None = None,
    colour: bool = False,
    unicode: bool = False,
) -> str:
    """The table. `folder`: where the reports are. colour: ANSI; unicode: rules beyond ASCII."""
    rule = ("─" if unicode else "-") * WIDTH
    double = ("━" if unicode else "=") * WIDTH
    lines: list[str] = [double]
    lines += _block(verdict.outcome.value, without_word(plain(verdict.sentence), verdict.outcome), colour)
    findings = [f for f in failures_first(verdict.findings) if not _told_with_fault(f)]
    if findings:
        lines += [rule, _cells("JUDGED", _COLUMNS, ("VALUE", "BOUND", "SAMPLES", "MARGIN"))]
        for finding in findings:
            lines += _finding(finding, colour)
    if verdict.faults:
        lines += [rule, _cells("FAULT", _FAULT_COLUMNS, ("DUE", "ACTIVE", "REVERTED", "RECOVERY"))]
        for fault in verdict.faults:
            lines += _fault(fault)
    lines.append(rule)
    for label, text in _totals(verdict, recording, folder):
        lines += _block(label, text)
    lines.append(double)
    return "\n".join(lines) + "\n"


def print_verdict(stream: TextIO, verdict: Verdict, recording: Recording, folder: Path | None = None) -> None:
    """Write the table as the stream can show it: plain where it is no terminal, ASCII where it must be."""
    encoding = stream.encoding or "ascii"
    text = render(
        verdict, recording, folder=folder, colour=stream.isatty(), unicode=encoding.lower().startswith("utf")
    )
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


def _told_with_fault(finding: Finding) -> bool:
    """That a fault's effect was seen stands with the fault."""
    return finding.source == "effect" and finding.outcome is Outcome.UPHELD


def _finding(finding: Finding, colour: bool) -> Iterator[str]:
    yield from _block(word(finding), plain(title(finding)), colour)
    measured = finding.value is not None or finding.interval is not None
    if measured:
        samples = NOTHING if finding.samples is None else count(finding.samples)
        cells = (value_of(finding), bound_of(finding), samples, margin_of(finding))
        yield _cells("", _COLUMNS, cells)
    if finding.outcome is not Outcome.UPHELD or not measured:
        yield from _block("", plain(finding.reason))


def _fault(fault: FaultRecord) -> Iterator[str]:
    name = plain(fault.name)
    if len(name) >= _FIRST:
        yield f" {shorten(name, WIDTH - 2)}"
        name = ""
    recovery = interval(fault.recovery) if fault.recovery else NOTHING
    times = (moment(fault.due_s), moment(fault.active_s), moment(fault.reverted_s), recovery)
    yield _cells(name, _FAULT_COLUMNS, times)
    what = f"{fault.kind} on {plain(fault.target)}: {state_of(fault)}"
    details = [what, plain(fault.effect), plain(fault.detail), ready_again(fault)]
    yield from _block("", "; ".join(filter(None, details)))


def _totals(verdict: Verdict, recording: Recording, folder: Path | None) -> Iterator[tuple[str, str]]:
    totals, trust = verdict.totals, verdict.trust
    yield (
        "Requests",
        f"{count(totals.sent)} sent = {count(totals.ok)} ok + {count(totals.failed)} failed + "
        f"{count(totals.unanswered)} unanswered, in {span(verdict.duration_s)}",
    )
    if verdict.workload == "open":
        dropped = f"{count(totals.dropped)} dropped, {count(totals.lost)} lost with a worker"
        yield "Arrivals", f"{count(totals.offered)} offered, {dropped}"
    else:
        yield "Workload", "closed: users wait for answers, so latencies leave out what they could not send"
    yield "Judged", tally(verdict.findings) or "nothing"
    yield "Generator", trust_line(verdict)
    for reason in trust.reasons:
        yield "NOT TRUSTED", plain(reason)
    if verdict.stress_level is not None:
        unit = "/s" if verdict.workload == "open" else " users"
        yield "Level held", f"{verdict.stress_level:g}{unit}"
    if not recording.complete:
        yield "Journal", "ends before the end of the run"
    if folder is not None:
        yield "Report", str(folder / "report.html")
    yield "Run", f"{plain(verdict.run_id)}, seed {verdict.seed}"
    yield "Exit code", exit_text(verdict.exit_code)


def _block(label: str, text: str, colour: bool = False) -> list[str]:
    """A label and its text, wrapped beside it."""
    wrapped = textwrap.wrap(text, WIDTH - _FIRST - 2, break_on_hyphens=False) or [""]
    head = f" {label:<{_FIRST}}"
    if colour and label in _ANSI:
        head = head.replace(label, f"\x1b[1;{_ANSI[label]}m{label}\x1b[0m")
    return [head + wrapped[0], *(" " * (_FIRST + 1) + line for line in wrapped[1:])]


def _cells(first: str, widths: Iterable[int], cells: Iterable[str]) -> str:
    """A line of cells; one too wide for its column pushes the next ones, so that no figure is cut."""
    line = f" {first:<{_FIRST}}"
    end = len(line)
    *before, last = cells
    for width, cell in zip(widths, before, strict=True):
        end += width
        line = f"{line}{cell} ".ljust(end)
    return f"{line}{last}".rstrip()
