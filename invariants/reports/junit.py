"""`junit.xml`: one test case for each invariant.

DEVIATED is a failure, INCONCLUSIVE an error, and what the target does not bind is skipped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from chaos_locust.reports.junit_file import new_suite, written
from chaos_locust.reports.text import plain
from invariants.reports.words import steps_of
from invariants.suite import Case, Suite


def render(suite: Suite) -> str:
    properties = {
        "run_id": suite.run_id,
        "target": suite.target,
        "seed": str(suite.seed),
        "exit_code": str(suite.exit_code),
        "command": suite.command,
    }
    element = new_suite("invariants", properties)
    for case in suite.cases:
        _case(element, case)
    return written(element, suite.elapsed_s, datetime.fromtimestamp(suite.started_epoch_s, UTC))


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
