"""`oscal.json`: OSCAL assessment results. OSCAL knows two states of a finding: `satisfied` and
`not-satisfied`. So what was not assessed is not satisfied for the reason `other`, what does not apply is no
finding at all, and a violation is a risk with a deadline.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, time
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from chaos_locust import __version__
from chaos_locust.reports.text import plain
from compliance.history import DOCUMENT
from compliance.measurement import Measurement
from compliance.outputs.report import Report
from compliance.outputs.words import NO_CERTIFICATE, STATE_WORDS, reason_of, sentence_of
from compliance.result import Violation
from compliance.rollup import Judged

VERSION = "1.1.3"
NAMESPACE = "https://chaos-locust.invalid/ns/oscal"
"""Of our own properties: an identifier, no address."""

_ENHANCEMENT = re.compile(r"([A-Z]{2}-\d+)\((\d+)\)")


def report_to_oscal(report: Report) -> dict[str, Any]:
    result = report.result
    root = uuid5(NAMESPACE_URL, f"{NAMESPACE}/{report.run_id}/{result.framework.id}/{result.profile.name}")
    applying = [each for each in result.controls if each.state != "not_applicable"]
    title = f"{result.framework.title}, {result.profile.title}: {plain(result.target)}"
    used = {outcome.evidence for judged in applying for outcome in judged.outcomes}
    seen = [each for each in result.measurements.values() if each.sha256 in used]
    document: dict[str, Any] = {
        "uuid": str(root),
        "title": title,
        "description": f"{sentence_of(result)}. {NO_CERTIFICATE}",
        "start": result.audited_at,
        "reviewed-controls": {
            "control-selections": [
                {"include-controls": [{"control-id": token(each.control.id)} for each in applying]}
                if applying
                else {"description": "No control applies."}
            ]
        },
        "observations": [_observation(root, each) for each in seen],
        "risks": [_risk(root, each, report) for each in result.violations],
        "findings": [_finding(root, each, report) for each in applying],
    }
    if report.entry is not None:
        document["props"] = [_property("trail-hash", report.entry.hash)]
    return {
        "assessment-results": {
            "uuid": str(uuid5(root, "document")),
            "metadata": {
                "title": title,
                "last-modified": result.audited_at,
                "version": report.run_id,
                "oscal-version": VERSION,
                "props": [_property("generator", f"chaos-locust {__version__}")],
            },
            # OSCAL demands a plan; where there is none of that kind, the document itself says what was done.
            "import-ap": {"href": DOCUMENT},
            # An empty list is not allowed.
            "results": [{key: each for key, each in document.items() if each}],
        }
    }


def token(control_id: str) -> str:
    """An id as OSCAL allows it: `AC-7(1)` -> `ac-7.1` as in NIST's catalogues, `164.308(a)` ->
    `_164.308-a`."""
    if re.fullmatch(r"[A-Z]{2}-\d+(\(\d+\))?", control_id):
        return _ENHANCEMENT.sub(r"\1.\2", control_id).lower()
    plain_id = re.sub(r"[^A-Za-z0-9._-]+", "-", control_id).strip("-")
    return plain_id if plain_id[0].isalpha() else f"_{plain_id}"


def _observation(root: UUID, measurement: Measurement) -> dict[str, Any]:
    # As JSON: by what stands before its colons, a value would be taken for a secret; those are out already.
    text = plain(measurement.reason) or json.dumps(dict(measurement.value))
    return {
        "uuid": str(uuid5(root, f"observation {measurement.measure}")),
        "title": measurement.measure,
        "description": f"{measurement.status}: {text}",
        "methods": ["TEST"],
        "relevant-evidence": [
            {
                "href": f"{DOCUMENT}#{measurement.measure}",
                "description": f"The measurement, by its SHA-256 {measurement.sha256}",
            }
        ],
        "collected": measurement.taken_at,
    }


def _risk(root: UUID, violation: Violation, report: Report) -> dict[str, Any]:
    deadline = datetime.combine(violation.target_date, time(23, 59, 59), UTC)
    status = "deviation-approved" if violation.waived else "remediating" if violation.in_progress else "open"
    check = violation.check
    return {
        "uuid": _risk_uuid(root, violation),
        "title": plain(f"{violation.control_id} {violation.control_description}"),
        "description": plain(violation.violation_description),
        "statement": plain(f"{violation.control_id} is not met: {violation.violation_description}"),
        "props": [
            _property("severity", violation.severity),
            _property("check", check),
            _property("responsible-team", violation.responsible_team),
        ],
        "status": status,
        "deadline": deadline.isoformat(),
        "remediations": [
            {
                "uuid": str(uuid5(root, f"remediation {violation.control_id} {check}")),
                "lifecycle": "recommendation",
                "title": f"Mend {check}",
                "description": "\n".join(violation.remediation),
            }
        ],
        "related-observations": _observations(root, {violation.evidence}, report),
    }


def _finding(root: UUID, judged: Judged, report: Report) -> dict[str, Any]:
    satisfied = judged.state == "compliant"
    reason = "pass" if satisfied else "other" if judged.state == "not_assessed" else "fail"
    told = reason_of(judged)
    finding: dict[str, Any] = {
        "uuid": str(uuid5(root, f"finding {judged.control.id}")),
        "title": plain(f"{judged.control.id} {judged.control.title}"),
        "description": plain(f"{STATE_WORDS[judged.state]}{': ' if told else ''}{told}"),
        "props": [
            _property("state", judged.state.replace("_", "-")),
            _property("control", judged.control.id),
        ],
        "target": {
            "type": "objective-id",
            "target-id": token(judged.control.id),
            "status": {"state": "satisfied" if satisfied else "not-satisfied", "reason": reason},
        },
        "related-observations": _observations(root, {each.evidence for each in judged.outcomes}, report),
        "related-risks": [
            {"risk-uuid": _risk_uuid(root, each)}
            for each in report.result.violations
            if each.control_id == judged.control.id
        ],
    }
    return {key: each for key, each in finding.items() if each}


def _observations(root: UUID, hashes: set[str], report: Report) -> list[dict[str, str]]:
    return [
        {"observation-uuid": str(uuid5(root, f"observation {each.measure}"))}
        for each in report.result.measurements.values()
        if each.sha256 in hashes
    ]


def _risk_uuid(root: UUID, violation: Violation) -> str:
    return str(uuid5(root, f"risk {violation.control_id} {violation.check}"))


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": name, "ns": NAMESPACE, "value": value}
