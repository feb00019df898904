"""`audit.sarif`: SARIF 2.1.0 for code scanning. The checks are its rules, each violation is a result; what
could not be measured is a notification, for SARIF knows no control that was not assessed."""

from __future__ import annotations

from typing import Any

from chaos_locust import __version__
from chaos_locust.reports.text import plain
from compliance.checks import Check, Severity
from compliance.history import DOCUMENT
from compliance.outputs.report import Report
from compliance.outputs.words import NO_CERTIFICATE, counts_of
from compliance.result import Violation
from compliance.rollup import Judged

_LEVELS: dict[Severity, str] = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
_SCORES: dict[Severity, str] = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}
"""So that GitHub shows our severities by their names: its own bounds are 9, 7 and 4."""


def report_to_sarif(report: Report) -> dict[str, Any]:
    result = report.result
    checks = {each.check.id: each.check for judged in result.controls for each in judged.outcomes}
    rules = [_rule(checks[name]) for name in sorted(checks)]
    places = {name: place for place, name in enumerate(sorted(checks))}
    controls = {judged.control.id: judged for judged in result.controls}
    return {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "chaos-locust", "version": __version__, "rules": rules}},
                "automationDetails": {
                    "id": f"compliance/{result.framework.id}/{result.profile.name}/{report.run_id}"
                },
                "invocations": [_invocation(report)],
                "results": [
                    _result(each, places[each.check], controls[each.control_id]) for each in result.violations
                ],
                "properties": {
                    "statement": NO_CERTIFICATE,
                    "target": plain(result.target),
                    **{f"{state}_controls": count for state, count in counts_of(result)},
                },
            }
        ],
    }


def _rule(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "shortDescription": {"text": check.violation},
        "fullDescription": {"text": f"{check.measure}: {check.condition.text}"},
        "help": {"text": "\n".join(check.remediation)},
        "defaultConfiguration": {"level": _LEVELS[check.severity]},
        "properties": {
            "security-severity": _SCORES[check.severity],
            "tags": sorted({"compliance", check.team}),
        },
    }


def _result(violation: Violation, place: int, judged: Judged) -> dict[str, Any]:
    control = f"{violation.control_id} {violation.control_description}"
    return {
        "ruleId": violation.check,
        "ruleIndex": place,
        "kind": "fail",
        "level": _LEVELS[violation.severity],
        "message": {"text": plain(f"{control}: {violation.violation_description}")},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": DOCUMENT}},
                "logicalLocations": [{"name": violation.control_id, "kind": "resource"}],
            }
        ],
        "partialFingerprints": {"controlAndCheck/v1": f"{violation.control_id}/{violation.check}"},
        "suppressions": _suppressions(judged) if violation.waived else [],
        "properties": {
            "target_date": str(violation.target_date),
            "responsible_team": violation.responsible_team,
            "in_progress": violation.in_progress,
            "evidence_sha256": violation.evidence,
        },
    }


def _suppressions(judged: Judged) -> list[dict[str, str]]:
    """SARIF allows none of them twice."""
    statements = dict.fromkeys(
        plain(each.item.statement) for each in judged.decisions if each.kind == "waiver"
    )
    return [{"kind": "external", "status": "accepted", "justification": each} for each in statements]


def _invocation(report: Report) -> dict[str, Any]:
    unmeasured = [each for each in report.result.measurements.values() if each.status != "ok"]
    return {
        "executionSuccessful": all(each.status == "unsupported" for each in unmeasured),
        "commandLine": plain(report.command),
        "exitCode": report.gated.exit_code,
        "startTimeUtc": report.result.audited_at.replace("+00:00", "Z"),
        "toolExecutionNotifications": [
            {
                "level": "note" if each.status == "unsupported" else "error",
                "message": {"text": plain(f"{each.status} ({each.measure}), {each.reason}")},
            }
            for each in unmeasured
        ],
    }
