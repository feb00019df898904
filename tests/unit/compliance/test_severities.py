"""How grave a violation is follows from what it is about; and those that are about ePHI say so to HIPAA."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import pytest
import yaml

from compliance.auditor import Auditor
from compliance.catalogue import load
from compliance.checks import Severity, bindings, checks, judge
from compliance.measurement import Measurement
from compliance.result import AuditResult
from compliance.rollup import judged
from compliance.target import Target
from tests.unit.compliance.audits import TODAY

SEVERITIES: Mapping[str, Severity] = {
    "encryption": "high",
    "access control": "high",
    "audit logging": "medium",
    "monitoring": "medium",
    "documentation": "low",
    "policy": "low",
}
OTHER = "other"
"""Of what the classes do not name: each check has the severity that it is given."""

CLASSES = {
    "access": "access control",
    "accounts": "access control",
    "audit_log": "audit logging",
    "audit_reading": "audit logging",
    "availability": OTHER,
    "backups": OTHER,
    "banners": OTHER,
    "continuous": "monitoring",
    "credentials": "access control",
    "data": "encryption",
    "database": "access control",
    "dependencies": OTHER,
    "documents": "documentation",
    "errors": OTHER,
    "headers": OTHER,
    "inputs": OTHER,
    "kubernetes": OTHER,
    "made_up": "access control",
    "monitoring": "monitoring",
    "network": OTHER,
    "privacy": OTHER,
    "processing": OTHER,
    "redis_server": "access control",
    "scans": "monitoring",
    "sessions": "access control",
    "tls": "encryption",
}
"""By topic, a file of `data/checks`."""

EXCEPTIONS = {
    # who may read or change the log
    "audit-readers": "access control",
    "audit-not-erasable": "access control",
    "audit-append-only": "access control",
    "backup-private": "access control",
    # what PostgreSQL writes down
    "database-logs-sessions": "audit logging",
    "database-logs-changes": "audit logging",
    "database-encrypted": "encryption",
    "database-password-storage": "encryption",
    "other-origins": "access control",
    # rules of a policy, none of which lets somebody in by itself
    "password-letters-and-digits": "policy",
    "password-not-the-name": "policy",
    "password-history": "policy",
    # nobody gets in by it
    "redis-bind": OTHER,
    "users-not-told": OTHER,
    "users-not-told-by-time": OTHER,
    "wrong-passwords-lock-only-their-account": OTHER,
}


def topics() -> dict[str, list[str]]:
    found = files("compliance").joinpath("data", "checks").iterdir()
    return {each.name.removesuffix(".yaml"): list(yaml.safe_load(each.read_text())) for each in found}


def test_every_topic_has_a_class() -> None:
    assert set(CLASSES) == set(topics())
    assert set(EXCEPTIONS) <= set(checks())


@pytest.mark.parametrize("topic", sorted(CLASSES))
def test_a_check_is_as_grave_as_its_class(topic: str) -> None:
    classes = {name: EXCEPTIONS.get(name, CLASSES[topic]) for name in topics()[topic]}
    wrong = {
        name: checks()[name].severity
        for name, each in classes.items()
        if each != OTHER and checks()[name].severity != SEVERITIES[each]
    }
    assert wrong == {}


@pytest.fixture(scope="module")
def on_bad() -> Mapping[str, Measurement]:
    """One violation of each kind, as it is found on targets of ours that are bad."""
    auditor = Auditor(Target(name="none"))
    return {name: auditor.measure_on_bad(checks()[name].measure) for name in ONE_OF_EACH}


WHOLE = {"fisma": "high", "fedramp": "class-d", "soc2": "all", "hipaa": "all", "pcidss": "all"}
ONE_OF_EACH: Mapping[str, Severity] = {
    "stored-record": "high",
    "no-plain-http": "high",
    "cross-user-refused": "high",
    "audit-log-ins": "medium",
    "metrics-there": "medium",
    "security-policy-there": "low",
}


def violated(framework: str, taken: Mapping[str, Measurement]) -> AuditResult:
    """An audit that found just that. taken: by check."""
    found = load(framework)
    profile = found.profile(WHOLE[framework])
    bound = bindings(framework)
    outcomes = {name: judge(checks()[name], each, profile.parameters) for name, each in taken.items()}
    controls = tuple(
        judged(
            found.controls[control],
            [each for each in bound.get(control, ()) if each.check in outcomes],
            outcomes,
            (),
            TODAY,
        )
        for control in profile.controls
    )
    at = "2030-06-15T10:00:00+00:00"
    return AuditResult(found, profile, "shop", at, TODAY, 0.1, controls, {}, {})


@pytest.mark.parametrize("framework", ["fisma", "hipaa"])
def test_one_violation_of_each_kind(framework: str, on_bad: Mapping[str, Measurement]) -> None:
    found = {each.check: each.severity for each in violated(framework, on_bad).violations}
    assert found == ONE_OF_EACH


def test_an_unencrypted_record_is_a_high_violation_that_tells_of_ephi(
    on_bad: Mapping[str, Measurement],
) -> None:
    result = violated("hipaa", on_bad)
    high = result.high_severity_violations()
    assert {each.check for each in high} == {"stored-record", "no-plain-http", "cross-user-refused"}
    assert {each.severity for each in high} == {"high"}
    assert len(high) < len(result.violations)
    ephi = [each for each in high if "ePHI" in each.violation_description and each.check == "stored-record"]
    assert [each.control_id for each in ephi] == ["164.312(a)(2)(iv)"]
    assert ephi[0].violation_description.startswith("ePHI at rest is not encrypted. What is said")


def test_other_frameworks_know_no_ephi(on_bad: Mapping[str, Measurement]) -> None:
    for framework in ("fisma", "fedramp", "soc2", "pcidss"):
        for each in violated(framework, on_bad).violations:
            assert "ePHI" not in each.violation_description
