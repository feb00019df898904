"""`junit.xml`: one test case for each finding, and one for the verdict itself.

DEVIATED is a failure, INCONCLUSIVE (what was not run, too) an error. A warning passes and is told in
system-out. The case `verdict` keeps the file from being green when the exit code is not 0.
"""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from chaos_locust.events import Recording
from chaos_locust.judge.verdict import Finding, Outcome, Verdict
from chaos_locust.reports.findings import failures_first, title
from chaos_locust.reports.junit_file import new_suite, written
from chaos_locust.reports.text import bound_of, count, exit_text, margin_of, moment, plain, value_of

_ELEMENTS = {Outcome.DEVIATED: "failure", Outcome.INCONCLUSIVE: "error"}


def render(verdict: Verdict, recording: Recording) -> str:
    properties = {
        "run_id": verdict.run_id,
        "seed": str(verdict.seed),
        "exit_code": str(verdict.exit_code),
        "command": recording.header.command,
    }
    suite = new_suite(plain(verdict.plan_name) or "chaos-locust", properties)
    _verdict_case(suite, verdict)
    for finding in failures_first(verdict.findings):
        _case(suite, finding)
    return written(suite, verdict.duration_s, datetime.fromtimestamp(verdict.started_epoch_s, UTC))


def _verdict_case(suite: ET.Element, verdict: Verdict) -> None:
    seconds = f"{verdict.duration_s:.3f}"
    case = ET.SubElement(suite, "testcase", classname="verdict", name="verdict", time=seconds)
    if verdict.exit_code == 0:
        return
    element = _ELEMENTS.get(verdict.outcome, "error")
    text = plain(verdict.sentence)
    problem = ET.SubElement(case, element, type=verdict.outcome.value, message=text)
    problem.text = f"{text}\nexit code {exit_text(verdict.exit_code)}"


def _case(suite: ET.Element, finding: Finding) -> None:
    name = plain(title(finding))
    case = ET.SubElement(suite, "testcase", classname=plain(finding.source), name=name, time="0.000")
    if finding.outcome is Outcome.UPHELD:
        return
    message = plain(finding.reason)
    if finding.severity == "warn":
        output = f"warning, {finding.outcome.value}: {message}\n{_figures(finding)}"
        ET.SubElement(case, "system-out").text = output
        return
    problem = ET.SubElement(case, _ELEMENTS[finding.outcome], type=finding.outcome.value, message=message)
    problem.text = _figures(finding)


def _figures(finding: Finding) -> str:
    lines = [
        f"value: {value_of(finding)}",
        f"bound: {bound_of(finding)}",
        f"margin: {margin_of(finding)}",
    ]
    if finding.samples is not None:
        lines.append(f"samples: {count(finding.samples)}")
    if finding.stretch is not None:
        lines.append(f"seen from {moment(finding.stretch[0])} to {moment(finding.stretch[1])} of the run")
    return "\n".join(lines)
