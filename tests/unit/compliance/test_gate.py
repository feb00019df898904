"""Exit codes: what fails, what is doubtful, and which of them counts."""

from __future__ import annotations

from datetime import date

import pytest

from compliance.checks import Severity
from compliance.gate import Gate, Gated, gated
from compliance.result import AuditResult

from .audits import audit, decision, measurement

BAD = {"AC-2": {"accounts": ("failed", "full")}, "AU-2": {"records": ("held", "full")}, "PE-1": {}}


def bad(severity: Severity = "medium", *decisions: str) -> AuditResult:
    made = [decision(kind, "AC-2") for kind in decisions]  # type: ignore[arg-type]
    return audit(BAD, made, {"accounts": severity})  # type: ignore[arg-type]


def code(gate: Gate, result: AuditResult, new: bool = True) -> int:
    return gated(gate, result, {("AC-2", "accounts")} if new else set()).exit_code


def test_without_a_gate_violations_fail_nothing() -> None:
    assert code(Gate(), bad("critical")) == 0


def test_any_violation() -> None:
    assert code(Gate(any_violation=True), bad("low")) == 3
    held = audit({"AC-2": {"accounts": ("held", "full")}})
    assert code(Gate(any_violation=True), held) == 0


@pytest.mark.parametrize(("severity", "expected"), [("critical", 3), ("high", 3), ("medium", 0), ("low", 0)])
def test_the_severity_or_a_graver_one(severity: Severity, expected: int) -> None:
    assert code(Gate(severity="high"), bad(severity)) == expected


def test_only_a_new_one() -> None:
    assert code(Gate(new_violation=True), bad(), new=True) == 3
    assert code(Gate(new_violation=True), bad(), new=False) == 0


@pytest.mark.parametrize("gate", [Gate(any_violation=True), Gate(severity="low"), Gate(new_violation=True)])
def test_a_waived_one_fails_no_gate_and_a_planned_one_does(gate: Gate) -> None:
    assert code(gate, bad("critical", "waiver")) == 0
    assert code(gate, bad("critical", "plan")) == 3


@pytest.mark.parametrize(("percent", "expected"), [(66.6, 0), (66.7, 4), (100.0, 4), (0.0, 0)])
def test_too_little_assessed(percent: float, expected: int) -> None:
    assert bad().assessed_percentage == pytest.approx(200 / 3)
    assert code(Gate(min_assessed=percent), bad()) == expected


def test_a_violation_counts_more_than_too_little_assessed() -> None:
    found = gated(Gate(any_violation=True, min_assessed=100.0), bad(), set())
    assert found.exit_code == 3
    assert [reason.split()[0] for reason in found.reasons] == ["--fail-if-violations:", "--min-assessed"]


def test_nothing_that_applies_is_not_enough() -> None:
    result = audit({"AC-2": {}}, [decision("exclusion", "AC-2", until=date(2031, 1, 1))])
    assert code(Gate(min_assessed=0.0), result) == 4


@pytest.mark.parametrize(("status", "expected"), [("unreachable", 4), ("error", 4), ("unsupported", 0)])
def test_what_could_not_be_measured_is_never_upheld(status: str, expected: int) -> None:
    taken = [measurement("measure_tls", status, value={}, reason="no answer")]  # type: ignore[arg-type]
    result = audit({"SC-8": {"tls": ("not_known", "full")}}, measurements=taken)
    for gate in (Gate(), Gate(any_violation=True)):
        found = gated(gate, result, set())
        assert found.exit_code == expected
        assert all("measure_tls" in reason for reason in found.reasons)


def test_a_measure_that_is_blind_is_never_upheld() -> None:
    blind = audit({"SC-8": {"tls": ("not_known", "full")}}, measurements=[measurement("measure_tls")])
    found = gated(Gate(any_violation=True), blind, set())
    assert found.exit_code == 4
    assert found.reasons == ("unreachable: no answer (tls)",)
    null = audit(
        {"SC-8": {"tls": ("not_known", "full")}},
        measurements=[measurement("measure_tls", value={"lowest": None})],
    )
    assert gated(Gate(any_violation=True), null, set()) == Gated(0, ())


def test_the_reason_names_what_failed() -> None:
    (reason,) = gated(Gate(severity="medium"), bad(), set()).reasons
    assert reason == "--fail-on medium: 1 violation: AC-2 (accounts)"
