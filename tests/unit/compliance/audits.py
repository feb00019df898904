"""Small audits, made by the same roll-up as real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from compliance.catalogue import Control, Framework, Profile, Source
from compliance.checks import Answer, Binding, Check, Coverage, Outcome, Severity
from compliance.condition import Condition
from compliance.decisions import Decision, Item, Kind
from compliance.gate import Gate, gated
from compliance.history import Difference
from compliance.measurement import Measurement, MeasurementStatus
from compliance.outputs.report import Report
from compliance.result import AuditResult
from compliance.rollup import judged

TODAY = date(2030, 6, 15)
SOURCE = Source("A list", "5.1.1", "https://example.org/list", "read", "list.json", "a" * 64, "Titles.")

Bound = Mapping[str, tuple[Answer, Coverage]]
"""Of one control: what its checks say, and how much of it they see; by check."""


def measurement(name: str, status: MeasurementStatus = "ok", **more: Any) -> Measurement:
    given = {"value": {"lowest": 1.2}, "evidence": ("GET /\n200 OK",), "reason": ""} | more
    return Measurement(
        name,
        status,
        given["value"],
        given["evidence"],
        given["reason"],
        "2030-06-15T10:00:00.000+00:00",
        0.25,
    )


def check(name: str, severity: Severity = "high") -> Check:
    return Check(
        name,
        f"measure_{name}",
        Condition.parse("lowest >= 1.2"),
        f"What {name} looks for is wrong.",
        (f"Mend {name}.", "Look again."),
        severity,
        "platform",
        {"nist": {}},
    )


def outcome(name: str, answer: Answer, severity: Severity = "high", text: str | None = None) -> Outcome:
    said = {"held": "", "failed": f"What {name} looks for is wrong.", "not_known": "unreachable: no answer"}
    return Outcome(
        check(name, severity),
        answer,
        said[answer] if text is None else text,
        measurement(f"measure_{name}").sha256,
    )


def decision(kind: Kind, *controls: str, until: date = TODAY, **more: Any) -> Decision:
    given = {"framework": "fisma", "controls": controls, "statement": "It is so.", "owner": "Ada"}
    return Decision(
        kind,
        Item(**given, approver="Bob", decided_on=date(2030, 1, 1), expires_on=until, **more),
    )


def audit(
    bound: Mapping[str, Bound],
    decisions: Sequence[Decision] = (),
    severities: Mapping[str, Severity] | None = None,
    first_seen: Mapping[tuple[str, str], date] | None = None,
    measurements: Sequence[Measurement] | None = None,
    at: str = "2030-06-15T10:00:00+00:00",
) -> AuditResult:
    """Of controls by id; the group of each is what stands before its first `-`."""
    controls = {name: Control(name, f"Title of {name}", name.partition("-")[0]) for name in bound}
    profile = Profile("low", "Low impact", tuple(bound), {"tls_min": 1.2}, {"tls_min": "Ours: x"}, (SOURCE,))
    framework = Framework("fisma", "FISMA", "5.1.1", (SOURCE,), controls, {"low": profile}, None)
    answers = {each: answer for checks in bound.values() for each, (answer, _) in checks.items()}
    default = [
        measurement(f"measure_{each}", "unreachable", value={}, reason="no answer")
        if answers[each] == "not_known"
        else measurement(f"measure_{each}")
        for each in sorted(answers)
    ]
    taken = {each.measure: each for each in (default if measurements is None else measurements)}
    rolled = []
    for name, checks in bound.items():
        outcomes = {}
        for each, (answer, _) in checks.items():
            outcomes[each] = outcome(each, answer, (severities or {}).get(each, "high"))
            if f"measure_{each}" in taken:
                outcomes[each] = replace(outcomes[each], evidence=taken[f"measure_{each}"].sha256)
        about = [each for each in decisions if name in each.item.controls]
        bindings = [Binding(each, coverage) for each, (_, coverage) in checks.items()]
        rolled.append(judged(controls[name], bindings, outcomes, about, TODAY))
    return AuditResult(
        framework=framework,
        profile=profile,
        target="shop",
        audited_at=at,
        today=TODAY,
        took_s=1.5,
        controls=tuple(rolled),
        measurements=taken,
        first_seen=first_seen or {},
    )


EVERY_STATE: Mapping[str, Bound] = {
    "AC-1": {},
    "AC-2": {"accounts": ("failed", "full"), "lockout": ("held", "partial")},
    "AC-7(1)": {"lockout": ("held", "full")},
    "AU-2": {"records": ("failed", "full")},
    "AU-9": {"erasing": ("not_known", "full")},
    "SC-8": {"tls": ("failed", "partial")},
    "SC-13": {"tls-ciphers": ("held", "partial")},
    "PE-1": {},
    "PE-2": {},
}
"""With the decisions: a control in every state, and one not assessed for every reason."""

DECISIONS = (
    decision("plan", "AU-2", until=date(2030, 7, 1)),
    decision("waiver", "SC-8", until=date(2030, 12, 31)),
    decision("exclusion", "PE-1", until=date(2030, 12, 31)),
    decision("attestation", "PE-2", until=date(2030, 6, 14)),
)


def every_state() -> AuditResult:
    severities: dict[str, Severity] = {"accounts": "critical", "records": "medium"}
    return audit(EVERY_STATE, DECISIONS, severities)


def report(
    result: AuditResult | None = None, gate: Gate | None = None, difference: Difference | None = None
) -> Report:
    found = result or every_state()
    new = {each.key for each in found.violations}
    command = "chaos-locust compliance audit --framework fisma"
    return Report(found, "20300615_100000", command, gated(gate or Gate(), found, new), difference)
