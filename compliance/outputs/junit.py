"""`junit.xml`: one test case for each control.

A violation is a failure, being mended or not; one that is waived is skipped, like what does not apply and
what was not assessed, with the reason.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from chaos_locust.reports.text import plain
from compliance.outputs.report import Report
from compliance.outputs.words import NO_CERTIFICATE, STATE_WORDS, reason_of
from compliance.rollup import Judged


def render(report: Report) -> str:
    result = report.result
    element = ET.Element("testsuite", name=f"{result.framework.id} {result.profile.name}")
    properties = ET.SubElement(element, "properties")
    for name, value in (
        ("run_id", report.run_id),
        ("target", result.target),
        ("exit_code", str(report.gated.exit_code)),
        ("command", report.command),
        ("statement", NO_CERTIFICATE),
        ("trail_hash", report.entry.hash if report.entry else ""),
    ):
        ET.SubElement(properties, "property", name=name, value=plain(value))
    for judged in result.controls:
        _case(element, judged)
    for count, path in (
        ("tests", "testcase"),
        ("failures", "testcase/failure"),
        ("errors", "testcase/error"),
        ("skipped", "testcase/skipped"),
    ):
        element.set(count, str(len(element.findall(path))))
    element.set("time", f"{result.took_s:.3f}")
    element.set("timestamp", result.audited_at.removesuffix("+00:00"))
    root = ET.Element("testsuites")
    root.append(element)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


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
