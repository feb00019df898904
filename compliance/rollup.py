"""From what checks said and people decided to the state of each control. Pure.

In this order, the first that applies:
    not_applicable  an exclusion that is good today
    in_progress     a check failed, and a plan that is good today says by when it is mended
    non_compliant   a check failed
    not_assessed    a check was tried and is not known; or one could not be tried, or none is bound, or all
                    that passed see only a part of what the control asks for, and no attestation that is good
                    today says the rest
    compliant       otherwise
So an attestation never outweighs a check that failed or went wrong, and a decision that has expired counts
for nothing but the reason that is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from compliance.catalogue import Control
from compliance.checks import Binding, Outcome
from compliance.decisions import Decision, Kind

State = Literal["compliant", "non_compliant", "in_progress", "not_applicable", "not_assessed"]
STATES: tuple[State, ...] = ("compliant", "non_compliant", "in_progress", "not_applicable", "not_assessed")
Reason = Literal["", "no_probe", "not_known", "partial", "expired"]


@dataclass(frozen=True, slots=True)
class Judged:
    """One control. reason, detail: why it is not assessed. outcomes: of all checks that are bound to it.
    decisions: those that were taken into account, expired ones too. waived: its violation fails no gate."""

    control: Control
    state: State
    reason: Reason
    detail: str
    outcomes: tuple[Outcome, ...]
    decisions: tuple[Decision, ...]
    waived: bool


def judged(
    control: Control,
    bound: Sequence[Binding],
    outcomes: Mapping[str, Outcome],
    decisions: Sequence[Decision],
    today: date,
) -> Judged:
    """outcomes: by check; those of the checks in `bound`. decisions: those about this control."""

    def good(kind: Kind) -> bool:
        return any(each.kind == kind and each.is_good(today) for each in decisions)

    seen = tuple(outcomes[binding.check] for binding in bound)
    failed = any(outcome.answer == "failed" for outcome in seen)

    def of(state: State, reason: Reason = "", detail: str = "") -> Judged:
        return Judged(control, state, reason, detail, seen, tuple(decisions), failed and good("waiver"))

    if good("exclusion"):
        return of("not_applicable")
    if failed:
        return of("in_progress" if good("plan") else "non_compliant")
    unknown = [outcome for outcome in seen if outcome.answer == "not_known"]
    whole = any(binding.coverage == "full" for binding in bound)
    if seen and not unknown and whole:
        return of("compliant")
    if good("attestation") and not any(outcome.was_tried for outcome in unknown):
        return of("compliant")
    expired = [each for each in decisions if each.kind in ("attestation", "exclusion")]
    if unknown:
        told = "; ".join(f"{outcome.text} ({outcome.check.id})" for outcome in unknown)
        return of("not_assessed", "not_known", told)
    if expired:
        last = max(each.item.expires_on for each in expired)
        return of("not_assessed", "expired", f"what was decided about it was good until {last}")
    if seen:
        return of("not_assessed", "partial", "what can be seen passed; the rest needs an attestation")
    return of("not_assessed", "no_probe", "nothing that can be measured tells of it; it needs an attestation")
