"""`summary.md`: at most ten lines for a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence

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

_FINDINGS = 4
_FAULTS = 2
_SIGN = {Outcome.UPHELD: "✅", Outcome.DEVIATED: "❌", Outcome.INCONCLUSIVE: "❔"}
_SPECIAL = re.compile(r"[\\`*_\[\]<>#|~&]")


def render(verdict: Verdict, recording: Recording) -> str:
    totals = verdict.totals
    unanswered = f", {count(totals.unanswered)} unanswered" if totals.unanswered else ""
    sentence = shorten(without_word(plain(verdict.sentence), verdict.outcome), 400)
    lines = [
        f"### {_SIGN[verdict.outcome]} {verdict.outcome}: {_escape(sentence)}",
        f"- {_code(verdict.plan_name)}, run {_code(verdict.run_id)}, exit {exit_text(verdict.exit_code)}",
        f"- {count(totals.sent)} requests in {span(verdict.duration_s)}: {count(totals.ok)} ok, "
        f"{count(totals.failed)} failed{unanswered}; {count(totals.dropped)} arrivals dropped",
    ]
    lines += _finding_lines(failures_first(verdict.findings))
    lines += [_fault_line(fault) for fault in verdict.faults[:_FAULTS]]
    reasons = "; ".join(map(plain, verdict.trust.reasons))
    trust = f"not to be trusted: {shorten(reasons, 300)}" if reasons else trust_line(verdict)
    lines.append(f"- Generator: {_escape(trust)}")
    return "\n".join(lines) + "\n"


def _finding_lines(findings: Sequence[Finding]) -> list[str]:
    # The rest shares one line, so that there are never more than _FINDINGS.
    shown = findings if len(findings) <= _FINDINGS else findings[: _FINDINGS - 1]
    rest = findings[len(shown) :]
    lines = [f"- {_SIGN[finding.outcome]} {_code(title(finding))}: {_figures(finding)}" for finding in shown]
    return [*lines, f"- and {tally(rest)}"] if rest else lines


def _figures(finding: Finding) -> str:
    if finding.value is None and finding.interval is None:
        return f"{word(finding).lower()}, {_escape(shorten(plain(finding.reason), 200))}"
    return _escape(f"{value_of(finding)}, bound {bound_of(finding)}, margin {margin_of(finding)}")


def _fault_line(fault: FaultRecord) -> str:
    recovery = f", recovery {interval(fault.recovery)}" if fault.recovery else ""
    until = f" to {moment(fault.reverted_s)}" if fault.reverted_s is not None else ""
    return (
        f"- 💥 {_code(fault.name)} ({fault.kind} on {_code(fault.target)}): {state_of(fault)}, active from "
        f"{moment(fault.active_s)}{until}{recovery}{', ' if fault.ready_again_s is not None else ''}"
        f"{ready_again(fault)}"
    )


def _escape(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no mention of a person."""
    entities = _SPECIAL.sub(lambda match: f"&#{ord(match.group())};", text)
    return entities.replace("@", "@&#8203;")


def _code(text: str) -> str:
    """A code span that the text cannot leave."""
    text = shorten(plain(text), 200)
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"
