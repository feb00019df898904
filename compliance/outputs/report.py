"""One audit as it is written down: what was found, what it was asked for, and what came before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chaos_locust.redact import redact_text
from compliance.gate import Gated
from compliance.history import Difference
from compliance.measurement import Measurement
from compliance.result import AuditResult
from compliance.rollup import Judged
from compliance.trail import Entry

TRAIL = "trail.jsonl"
"""The trail of all audits of a folder: it is in the folder that holds theirs."""


@dataclass(frozen=True)
class Report:
    """result: see `without_secrets`. difference: None where there is no earlier audit. entry: in the trail;
    None until it is written."""

    result: AuditResult
    run_id: str
    command: str
    gated: Gated
    difference: Difference | None = None
    entry: Entry | None = None


def without_secrets(result: AuditResult) -> AuditResult:
    """What looks like a secret is blotted out of what was measured, whoever gave it out; the hashes are those
    of what is left, so that they can be taken again from a report."""
    clean = {name: _clean(each) for name, each in result.measurements.items()}
    hashes = {each.sha256: clean[name].sha256 for name, each in result.measurements.items()}
    controls = tuple(_control(each, hashes) for each in result.controls)
    return replace(result, measurements=clean, controls=controls)


def _control(judged: Judged, hashes: Mapping[str, str]) -> Judged:
    outcomes = tuple(
        replace(each, text=redact_text(each.text), evidence=hashes.get(each.evidence, each.evidence))
        for each in judged.outcomes
    )
    return replace(judged, outcomes=outcomes, detail=redact_text(judged.detail))


def _clean(measurement: Measurement) -> Measurement:
    return replace(
        measurement,
        value=_texts(measurement.value),
        evidence=tuple(map(redact_text, measurement.evidence)),
        reason=redact_text(measurement.reason),
    )


def _texts(document: Any) -> Any:
    """By the form of each text, not by its key: how long a password must be is no secret."""
    match document:
        case str():
            return redact_text(document)
        case Mapping():
            return {key: _texts(each) for key, each in document.items()}
        case list() | tuple():
            return [_texts(each) for each in document]
    return document
