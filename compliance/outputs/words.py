"""What several reports say in the same words.

The name of a check or a measure stands where no colon follows it: `password-length: 8` would be taken for a
password, and blotted out.
"""

from __future__ import annotations

from chaos_locust.reports.text import share
from compliance.checks import SEVERITIES, Severity
from compliance.outputs.report import Report
from compliance.result import AuditResult, Violation
from compliance.rollup import STATES, Judged, Reason, State

NO_CERTIFICATE = (
    "This is technical evidence of what was measured and declared, and no certificate: whether the framework "
    "is met is for auditors and assessors to decide."
)
STATE_WORDS: dict[State, str] = {
    "compliant": "compliant",
    "non_compliant": "non-compliant",
    "in_progress": "in progress",
    "not_applicable": "not applicable",
    "not_assessed": "not assessed",
}
WHY_NOT: dict[Reason, str] = {
    "": "",
    "no_probe": "nothing that can be measured tells of it; it needs an attestation",
    "not_known": "it could not be measured",
    "partial": "what can be measured passed; the rest needs an attestation",
    "expired": "what was decided about it has expired",
}


def word_of(result: AuditResult) -> str:
    """The audit in a word; waived violations are violations."""
    if result.violations:
        return "VIOLATIONS"
    return "NO VIOLATIONS" if result.is_compliant() else "NOT FULLY ASSESSED"


def sentence_of(result: AuditResult) -> str:
    """`2 of 149 controls are violated, 5 are compliant, 142 were not assessed`."""
    total = result.total_controls
    violated = result.non_compliant_controls + result.in_progress_controls
    return (
        f"{violated} of {total} controls {'is' if violated == 1 else 'are'} violated, "
        f"{result.compliant_controls} compliant, {result.not_assessed_controls} not assessed, "
        f"{result.not_applicable_controls} not applicable"
    )


def counts_of(result: AuditResult) -> list[tuple[State, int]]:
    """They add up to the total."""
    return [(state, sum(each.state == state for each in result.controls)) for state in STATES]


def percentages_of(result: AuditResult) -> str:
    compliant, assessed = result.compliance_percentage, result.assessed_percentage
    if compliant is None or assessed is None:
        return "no control applies"
    return f"{share(compliant / 100)} compliant, {share(assessed / 100)} assessed, of those that apply"


def not_assessed_of(result: AuditResult) -> dict[Reason, list[Judged]]:
    """By reason, in the order of the profile."""
    found: dict[Reason, list[Judged]] = {}
    for each in result.controls:
        if each.state == "not_assessed":
            found.setdefault(each.reason, []).append(each)
    return found


def findings_of(result: AuditResult) -> list[list[Violation]]:
    """Violations that are one to people: of the same check, to be mended by the same day in the same way, of
    however many controls; the gravest first."""
    found: dict[tuple[object, ...], list[Violation]] = {}
    for each in result.violations:
        one = each.check, each.violation_description, each.target_date, each.in_progress, each.waived
        found.setdefault(one, []).append(each)
    return list(found.values())


def severity_of(judged: Judged) -> Severity | None:
    """Of the gravest check that failed."""
    failed = [each.check.severity for each in judged.outcomes if each.answer == "failed"]
    return max(failed, key=SEVERITIES.index, default=None)


def reason_of(judged: Judged) -> str:
    """Why the control is in its state: what failed, why it is not known, or who decided it."""
    failed = "; ".join(each.text for each in judged.outcomes if each.answer == "failed")
    if judged.state in ("non_compliant", "in_progress"):
        return failed
    if judged.reason == "not_known":
        unknown = [each for each in judged.outcomes if each.answer == "not_known"]
        return "; ".join(f"{each.text} ({each.check.id})" for each in unknown)
    if judged.state == "not_assessed":
        return judged.detail
    kind = "exclusion" if judged.state == "not_applicable" else "attestation"
    return "; ".join(
        f"{each.item.statement} ({each.item.owner}, approved by {each.item.approver}, until "
        f"{each.item.expires_on})"
        for each in judged.decisions
        if each.kind == kind
    )


def automated_methods(judged: Judged) -> int:
    """How many measures told something of the control."""
    return len({each.check.measure for each in judged.outcomes if each.answer != "not_known"})


def exit_of(report: Report) -> str:
    return f"{report.gated.exit_code} ({meaning_of(report.gated.exit_code)})"


def meaning_of(exit_code: int) -> str:
    return {0: "nothing that was asked for failed", 3: "violations", 4: "assessment incomplete"}[exit_code]
