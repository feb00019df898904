"""verdict.json, junit.xml and summary.md say what the verdict says, whatever is in it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from chaos_locust.events import Recording
from chaos_locust.judge.verdict import Finding, Outcome, Verdict
from chaos_locust.reports import junit, markdown, verdict_json

Run = tuple[Verdict, Recording]


def validator() -> jsonschema.Draft202012Validator:
    schema = verdict_json.verdict_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def findings(*outcomes: tuple[Outcome, str]) -> tuple[Finding, ...]:
    return tuple(
        Finding("objective", f"p99 < {i + 1}ms during run", outcome, "because", severity=severity)  # type: ignore[arg-type]
        for i, (outcome, severity) in enumerate(outcomes)
    )


def test_verdict_json_follows_its_schema_and_has_infinity_as_text(run: Run) -> None:
    text = verdict_json.render(*run)
    data = json.loads(text, parse_constant=pytest.fail)
    validator().validate(data)
    infinite = [f for f in data["findings"] if f["value"] == "Infinity"]
    assert [f["text"] for f in infinite] == ["p95 < 300ms during slow-db"]
    assert data["exit_code"] == 3
    totals = data["totals"]
    assert totals["sent"] == totals["ok"] + totals["failed"] + totals["unanswered"] > 0


def test_the_schema_refuses_what_is_missing_or_unknown(run: Run) -> None:
    data = json.loads(verdict_json.render(*run))
    del data["exit_code"]
    assert not validator().is_valid(data)
    data = json.loads(verdict_json.render(*run))
    data["findings"][0]["surprise"] = 1
    assert not validator().is_valid(data)


def test_error_kinds_that_look_like_secret_keys_keep_their_counts(run: Run) -> None:
    verdict, recording = run
    errors = {"token expired": 5, "GET http://u:hunter2@host/": 2}
    odd = replace(verdict, totals=replace(verdict.totals, errors=errors))
    data = verdict_json.verdict_to_json(odd, recording)
    assert data["totals"]["errors"] == {"token expired": 5, "GET http://u:***@host/": 2}


def cases(verdict: Verdict, recording: Recording) -> dict[str, ET.Element]:
    suite = ET.fromstring(junit.render(verdict, recording)).find("testsuite")
    assert suite is not None
    found = {case.get("name", ""): case for case in suite.findall("testcase")}
    assert suite.get("tests") == str(len(suite.findall("testcase")))
    assert suite.get("failures") == str(len(suite.findall("testcase/failure")))
    assert suite.get("errors") == str(len(suite.findall("testcase/error")))
    return found


def test_junit_has_a_case_for_each_finding_and_one_for_the_verdict(run: Run) -> None:
    verdict, recording = run
    odd = replace(
        verdict,
        findings=findings(
            (Outcome.UPHELD, "error"),
            (Outcome.DEVIATED, "error"),
            (Outcome.INCONCLUSIVE, "error"),
            (Outcome.DEVIATED, "warn"),
        ),
    )
    found = cases(odd, recording)
    shown = {name: [child.tag for child in case] for name, case in found.items()}
    assert shown == {
        "verdict": ["failure"],
        "p99 < 1ms during run": [],
        "p99 < 2ms during run": ["failure"],
        "p99 < 3ms during run": ["error"],
        "p99 < 4ms during run": ["system-out"],
    }


@pytest.mark.parametrize(
    ("outcome", "code", "green"),
    [
        (Outcome.UPHELD, 0, True),
        (Outcome.UPHELD, 5, False),
        (Outcome.INCONCLUSIVE, 4, False),
        (Outcome.UPHELD, 1, False),
    ],
)
def test_junit_is_green_only_when_the_exit_code_is_0(
    run: Run, outcome: Outcome, code: int, green: bool
) -> None:
    verdict, recording = run
    odd = replace(verdict, findings=(), outcome=outcome, exit_code=code)
    assert (len(cases(odd, recording)["verdict"]) == 0) is green


def test_hostile_text_leaves_xml_whole(hostile_run: Run) -> None:
    root = ET.fromstring(junit.render(*hostile_run))
    text = ET.tostring(root, encoding="unicode")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert root.find(".//script") is None


def test_the_summary_has_at_most_ten_lines_and_every_outcome(run: Run) -> None:
    verdict, recording = run
    lines = markdown.render(verdict, recording).splitlines()
    assert len(lines) <= 10
    assert lines[0].startswith("### ❌ DEVIATED: ")
    assert "exit 3" in lines[1]
    deviated = sum(f.outcome is Outcome.DEVIATED for f in verdict.findings)
    assert sum(line.startswith("- ❌") for line in lines) == min(deviated, 4) > 0


def test_hostile_text_is_neither_markup_nor_mention_in_the_summary(hostile_run: Run) -> None:
    text = markdown.render(*hostile_run)
    without_code = re.sub(r"(`+) ?.*?(?<!`)\1(?!`)", "", text)
    assert "<" not in without_code
    assert "@everyone" not in without_code
    assert "\x1b" not in text
    assert len(text.splitlines()) <= 10


def test_an_infinite_recovery_is_told_as_a_lower_limit(run: Run) -> None:
    verdict, recording = run
    fault = replace(verdict.faults[0], recovery=(12.0, math.inf))
    text = markdown.render(replace(verdict, faults=(fault,)), recording)
    assert "recovery more than 12 s" in text
