"""Counts, percentages and violations of any audit, and the same numbers in every output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.checks import SEVERITIES, Answer, Coverage, Severity
from compliance.decisions import Decision, Kind
from compliance.outputs import console, junit
from compliance.outputs.document import report_to_json, result_to_json, schema
from compliance.outputs.oscal import report_to_oscal
from compliance.outputs.sarif import report_to_sarif
from compliance.result import DAYS_TO_MEND, AuditResult
from compliance.rollup import STATES

from .audits import TODAY, audit, decision, every_state, report

NAMES = ("AC-1", "AC-2", "AU-2", "SC-7(5)", "SI-4")
ANSWERS: tuple[Answer, ...] = ("held", "failed", "not_known")
COVERAGES: tuple[Coverage, ...] = ("full", "partial")
KINDS: tuple[Kind, ...] = ("attestation", "exclusion", "waiver", "plan")


@st.composite
def audits(draw: st.DrawFn) -> AuditResult:
    """A check says the same of every control that it is bound to."""
    answers = {name: draw(st.sampled_from(ANSWERS)) for name in "abcd"}
    severities: dict[str, Severity] = {name: draw(st.sampled_from(SEVERITIES)) for name in "abcd"}
    bound: dict[str, dict[str, tuple[Answer, Coverage]]] = {}
    for control in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        checks = draw(st.lists(st.sampled_from("abcd"), unique=True))
        bound[control] = {each: (answers[each], draw(st.sampled_from(COVERAGES))) for each in checks}
    decisions: list[Decision] = [
        decision(draw(st.sampled_from(KINDS)), control, until=TODAY + timedelta(draw(st.integers(-9, 99))))
        for control in draw(st.lists(st.sampled_from(NAMES), max_size=4))
    ]
    return audit(bound, decisions, severities)


def counts(result: AuditResult) -> dict[str, int]:
    return {state: getattr(result, f"{state}_controls") for state in STATES}


@given(audits())
def test_counts_add_up(result: AuditResult) -> None:
    assert sum(counts(result).values()) == result.total_controls == len(result.controls)
    by_group = result.groups().values()
    assert {state: sum(group[state] for group in by_group) for state in STATES} == counts(result)


@given(audits())
def test_percentages_are_as_defined(result: AuditResult) -> None:
    applying = result.total_controls - result.not_applicable_controls
    if applying == 0:
        assert result.compliance_percentage is None
        assert result.assessed_percentage is None
        return
    assert result.compliance_percentage == pytest.approx(100 * result.compliant_controls / applying)
    assessed = result.compliant_controls + result.non_compliant_controls + result.in_progress_controls
    assert result.assessed_percentage == pytest.approx(100 * assessed / applying)


@given(audits())
def test_compliant_only_with_nothing_left(result: AuditResult) -> None:
    if result.is_compliant():
        assert result.compliance_percentage == 100
        assert result.compliant_controls > 0
        assert not result.violations
        assert result.not_assessed_controls == 0


@given(audits())
def test_each_violated_control_has_its_violations(result: AuditResult) -> None:
    violated = {each.control.id for each in result.controls if each.state in ("non_compliant", "in_progress")}
    assert {each.control_id for each in result.violations} == violated
    assert len({each.key for each in result.violations}) == len(result.violations)
    ranks = [SEVERITIES.index(each.severity) for each in result.violations]
    assert ranks == sorted(ranks, reverse=True)
    assert [each for each in result.violations if each.severity in ("high", "critical")] == list(
        result.high_severity_violations()
    )
    for each in result.violations:
        assert (
            each.key[1] in result.remediation_summary() or each.remediation[0] in result.remediation_summary()
        )


@given(audits())
def test_the_document_says_the_same(result: AuditResult) -> None:
    document = report_to_json(report(result))
    without = {
        **schema(),
        "required": [each for each in schema()["required"] if each not in ("sha256", "trail")],
    }
    jsonschema.Draft202012Validator(without, format_checker=jsonschema.FormatChecker()).validate(document)
    assert {state: document[f"{state}_controls"] for state in STATES} == counts(result)
    assert document["total_controls"] == result.total_controls
    assert document["compliance_percentage"] == result.compliance_percentage
    assert [each["state"] for each in document["controls"]] == [each.state for each in result.controls]
    hashes = {each["sha256"] for each in document["measurements"].values()}
    for control in document["controls"]:
        assert {each["evidence"] for each in control["outcomes"]} <= hashes


@given(audits())
def test_the_console_says_the_same(result: AuditResult) -> None:
    text = console.render(report(result), Path("results/x"))
    told = re.findall(r"^ +(\d+)  (.+)$", text, re.M)
    assert {name: int(number) for number, name in told} == {
        **{state.replace("non_", "non-").replace("_", " "): count for state, count in counts(result).items()},
        "controls": result.total_controls,
    }
    assert text.index("no certificate") > 0


@given(audits())
def test_junit_says_the_same(result: AuditResult) -> None:
    suite = ET.fromstring(junit.render(report(result)))[0]
    cases = suite.findall("testcase")
    assert int(suite.attrib["tests"]) == len(cases) == result.total_controls
    unwaived = {each.control_id for each in result.violations if not each.waived}
    failed = {case.attrib["name"].split()[0] for case in cases if case.find("failure") is not None}
    assert failed == unwaived
    assert int(suite.attrib["failures"]) == len(unwaived)
    passed = [case for case in cases if not len(case)]
    assert len(passed) == result.compliant_controls
    assert all(each.attrib["message"].split(": ")[1] for each in suite.iter("skipped"))


@given(audits())
def test_sarif_says_the_same(result: AuditResult) -> None:
    (run,) = report_to_sarif(report(result))["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == sorted({each.check.id for judged in result.controls for each in judged.outcomes})
    told = [(each["ruleId"], rules[each["ruleIndex"]], bool(each["suppressions"])) for each in run["results"]]
    assert told == [(each.check, each.check, each.waived) for each in result.violations]


@given(audits())
def test_oscal_says_the_same(result: AuditResult) -> None:
    (found,) = report_to_oscal(report(result))["assessment-results"]["results"]
    states = [finding["target"]["status"]["state"] for finding in found.get("findings", [])]
    reasons = [finding["target"]["status"]["reason"] for finding in found.get("findings", [])]
    assert len(states) == result.total_controls - result.not_applicable_controls
    assert states.count("satisfied") == result.compliant_controls == reasons.count("pass")
    assert reasons.count("other") == result.not_assessed_controls
    assert len(found.get("risks", [])) == len(result.violations)
    uuids = _uuids(found)
    assert len(uuids) == len(set(uuids))
    assert set(_referred(found)) <= set(uuids)


def test_a_date_is_that_of_the_plan_or_by_severity() -> None:
    seen = {("AC-2", "accounts"): date(2030, 6, 1)}
    result = audit({"AC-2": {"accounts": ("failed", "full")}}, first_seen=seen)
    (violation,) = result.violations
    assert violation.target_date == date(2030, 6, 1) + timedelta(DAYS_TO_MEND["high"])
    assert result_to_json(result)["violations"][0]["first_seen"] == "2030-06-01"
    planned = {each.control_id: each.target_date for each in every_state().violations}
    assert planned["AU-2"] == date(2030, 7, 1)
    assert planned["AC-2"] == TODAY + timedelta(DAYS_TO_MEND["critical"])


def _uuids(document: Mapping[str, Any]) -> list[str]:
    lists = [document.get(key, []) for key in ("observations", "risks", "findings")]
    return [each["uuid"] for entries in lists for each in entries]


def _referred(document: Mapping[str, Any]) -> list[str]:
    found = []
    for each in (*document.get("risks", []), *document.get("findings", [])):
        found += [one["observation-uuid"] for one in each.get("related-observations", [])]
        found += [one["risk-uuid"] for one in each.get("related-risks", [])]
    return found
