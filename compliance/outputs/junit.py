"""`junit.xml`: one test case for each control.

A violation is a failure, being mended or not; one that is waived is skipped, like what does not apply and
what was not assessed, with the reason.
"""

from __future__ import annotations

from datetime import datetime
from xml.etree import ElementTree as ET

from chaos_locust.reports.junit_file import new_suite, written
from chaos_locust.reports.text import plain
from compliance.outputs.report import Report
from compliance.outputs.words import NO_CERTIFICATE, STATE_WORDS, reason_of
from compliance.rollup import Judged


def render(report: Report) -> str:
    result = report.result
    properties = {
        "run_id": report.run_id,
        "target": result.target,
        "exit_code": str(report.gated.exit_code),
        "command": report.command,
        "statement": NO_CERTIFICATE,
        "trail_hash": report.entry.hash if report.entry else "",
    }
    suite = new_suite(f"{result.framework.id} {result.profile.name}", properties)
    for judged in result.controls:
        _case(suite, judged)
    return written(suite, result.took_s, datetime.fromisoformat(result.audited_at))


def _case(suite: ET.Element, judged: Judged) -> None:
    control = judged.control
    name = f"{control.id} {plain(control.title)}"
    case = ET.SubElement(suite, "testcase", classname=plain(control.group), name=name, time="0")
    reason = plain(reason_of(judged))
    if judged.state == "compliant":
        return
    if judged.state in ("non_compliant", "in_progress") and not judged.waived:
        failed = [each for each in judged.outcomes if each.answer == "failed"]
        failure = ET.SubElement(case, "failure", type=STATE_WORDS[judged.state], message=reason)
        failure.text = "\n".join(plain(step) for each in failed for step in each.check.remediation)
        return
    word = "waived" if judged.waived else STATE_WORDS[judged.state]
    ET.SubElement(case, "skipped", message=f"{word}: {reason}")
