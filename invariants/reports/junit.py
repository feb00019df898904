"""`junit.xml`: one test case for each invariant.

DEVIATED is a failure, INCONCLUSIVE an error, and what the target does not bind is skipped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from chaos_locust.reports.text import plain
from invariants.reports.words import steps_of
from invariants.suite import Case, Suite


def render(suite: Suite) -> str:
    element = ET.Element("testsuite", name="invariants")
    properties = ET.SubElement(element, "properties")
    for name, value in (
        ("run_id", suite.run_id),
        ("target", suite.target),
        ("seed", str(suite.seed)),
        ("exit_code", str(suite.exit_code)),
        ("command", suite.command),
    ):
        ET.SubElement(properties, "property", name=name, value=plain(value))
    for case in suite.cases:
        _case(element, case)
    for count, path in (
        ("tests", "testcase"),
        ("failures", "testcase/failure"),
        ("errors", "testcase/error"),
        ("skipped", "testcase/skipped"),
    ):
        element.set(count, str(len(element.findall(path))))
    element.set("time", f"{suite.elapsed_s:.3f}")
    started = datetime.fromtimestamp(suite.started_epoch_s, UTC)
    element.set("timestamp", started.isoformat(timespec="seconds").removesuffix("+00:00"))
    root = ET.Element("testsuites")
    root.append(element)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, case: Case) -> None:
    result = None if case.ended is None else case.ended.result
    seconds = "0.000" if result is None else f"{result.elapsed_s:.3f}"
    made = ET.SubElement(suite, "testcase", classname="invariants", name=case.invariant, time=seconds)
    match case.word:
        case "NOT BOUND":
            ET.SubElement(made, "skipped", message="the target does not bind it")
        case "INCONCLUSIVE":
            error = ET.SubElement(made, "error", type=case.word, message=plain(case.doubt))
            error.text = plain(case.statement)
        case "DEVIATED":
            assert result is not None
            found = result.violations[0]
            failure = ET.SubElement(made, "failure", type=case.word, message=plain(found.title))
            lines = [case.statement, str(found.seen_again), *steps_of(found)]
            failure.text = "\n".join(map(plain, lines))
