"""`audit.json`: all of an audit, by `data/schema/audit.schema.json`.

Its digest, `sha256`, is that of canonical JSON (keys sorted, no spaces, UTF-8) of all but `sha256` and
`trail`, and is what the entry in the trail holds. An outcome's `evidence` is the `sha256` of a measurement,
taken in the same way of all of it but that key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from chaos_locust import __version__
from chaos_locust.reports.text import plain
from compliance.decisions import Decision
from compliance.history import Difference
from compliance.measurement import Measurement, digest
from compliance.outputs.report import TRAIL, Report
from compliance.outputs.words import NO_CERTIFICATE, automated_methods, sentence_of, word_of
from compliance.result import AuditResult, Violation
from compliance.rollup import STATES, Judged
from compliance.trail import append

SCHEMA_VERSION = "1.0"


def schema() -> Any:
    return json.loads((files("compliance") / "data" / "schema" / "audit.schema.json").read_text("utf-8"))


def signed_off(report: Report, trail: Path) -> tuple[Report, dict[str, Any]]:
    """The report and its document with their entry in the trail, which is written here. Raises
    ChaosError."""
    document = report_to_json(report)
    result = report.result
    summary = f"{result.framework.id} {result.profile.name} of {plain(result.target)}: {sentence_of(result)}"
    at = datetime.fromisoformat(result.audited_at)
    entry = append(trail, "audit", digest(document), summary, at)
    kept = {"file": TRAIL, "number": entry.number, "hash": entry.hash}
    return replace(report, entry=entry), {**document, "sha256": entry.document, "trail": kept}


def report_to_json(report: Report) -> dict[str, Any]:
    """Without `sha256` and `trail`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "generator": {"name": "chaos-locust", "version": __version__},
        "run_id": report.run_id,
        "command": plain(report.command),
        "exit_code": report.gated.exit_code,
        "exit_reasons": [plain(each) for each in report.gated.reasons],
        "difference": _difference(report.difference),
        **result_to_json(report.result),
    }


def result_to_json(result: AuditResult) -> dict[str, Any]:
    return {
        "statement": NO_CERTIFICATE,
        "outcome": word_of(result),
        "framework": result.framework.id,
        "framework_title": result.framework.title,
        "framework_version": result.framework.version,
        "profile": result.profile.name,
        "profile_title": result.profile.title,
        "parameters": dict(result.profile.parameters),
        "sources": [asdict(each) for each in (*result.framework.sources, *result.profile.sources)],
        "target": plain(result.target),
        "audited_at": result.audited_at,
        "took_s": round(result.took_s, 3),
        "is_compliant": result.is_compliant(),
        "total_controls": result.total_controls,
        **{f"{state}_controls": sum(each.state == state for each in result.controls) for state in STATES},
        "compliance_percentage": result.compliance_percentage,
        "assessed_percentage": result.assessed_percentage,
        "violations": [_violation(each, result) for each in result.violations],
        "groups": {
            group: {state: counts[state] for state in STATES} for group, counts in result.groups().items()
        },
        "controls": [_control(each) for each in result.controls],
        "measurements": {name: each.to_json() for name, each in result.measurements.items()},
        "positive_controls": {name: _positive_control(each) for name, each in result.on_bad.items()},
    }


def _positive_control(measurement: Measurement) -> dict[str, Any]:
    return {
        "status": measurement.status,
        "reason": plain(measurement.reason),
        "taken_at": measurement.taken_at,
        "took_s": measurement.took_s,
    }


def _violation(violation: Violation, result: AuditResult) -> dict[str, Any]:
    return {**violation.to_json(), "first_seen": str(result.first_seen.get(violation.key, result.today))}


def _control(judged: Judged) -> dict[str, Any]:
    control = judged.control
    return {
        "id": control.id,
        "title": control.title,
        "group": control.group,
        "obligation": control.obligation,
        "state": judged.state,
        "reason": judged.reason,
        "detail": judged.detail,
        "waived": judged.waived,
        "automated_methods": automated_methods(judged),
        "outcomes": [
            {
                "check": each.check.id,
                "measure": each.check.measure,
                "condition": each.check.condition.text,
                "severity": each.check.severity,
                "answer": each.answer,
                "text": each.text,
                "evidence": each.evidence,
            }
            for each in judged.outcomes
        ],
        "decisions": [_decision(each) for each in judged.decisions],
    }


def _decision(decision: Decision) -> dict[str, Any]:
    item = decision.item
    return {
        "kind": decision.kind,
        "statement": plain(item.statement),
        "owner": plain(item.owner),
        "approver": plain(item.approver),
        "decided_on": str(item.decided_on),
        "expires_on": str(item.expires_on),
        "evidence": plain(item.evidence),
        "sha256": item.sha256,
    }


def _difference(difference: Difference | None) -> Mapping[str, Any] | None:
    if difference is None:
        return None

    def pairs(keys: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
        return [{"control_id": control, "check": check} for control, check in keys]

    return {
        "since": difference.since,
        "new": pairs(difference.new),
        "still": pairs(difference.still),
        "gone": pairs(difference.gone),
        "not_seen": pairs(difference.not_seen),
    }
