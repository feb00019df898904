"""What an audit's exit code is: 0, 3 for violations, 4 where too little could be assessed. Pure.

A violation that is waived fails no gate; one that is being mended does. An audit whose measures failed or
were not believed, or whose target did not answer, is never better than 4: what it could not see, it cannot
say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from chaos_locust.judge.verdict import EXIT_CODES, Outcome
from compliance.checks import SEVERITIES, Severity, judge
from compliance.result import AuditResult, Violation

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Gate:
    """What was asked for. severity: this one or graver. min_assessed: per cent of the controls that apply."""

    any_violation: bool = False
    severity: Severity | None = None
    new_violation: bool = False
    min_assessed: float | None = None

    @property
    def asks(self) -> bool:
        return self.any_violation or self.new_violation or None not in (self.severity, self.min_assessed)


@dataclass(frozen=True, slots=True)
class Gated:
    """reasons: of an exit code other than 0, one sentence each."""

    exit_code: int
    reasons: tuple[str, ...]


def gated(gate: Gate, result: AuditResult, new: Collection[tuple[str, str]]) -> Gated:
    """new: violations, by control and check, that earlier audits did not find; where there was none, all."""
    failing = _failing(gate, [each for each in result.violations if not each.waived], new)
    doubts = _doubts(gate, result)
    outcome = Outcome.DEVIATED if failing else Outcome.INCONCLUSIVE if doubts else Outcome.UPHELD
    return Gated(EXIT_CODES[outcome], (*failing, *doubts))


def worst(exit_codes: Iterable[int]) -> int:
    """Of several audits: a violation outweighs what could not be assessed."""
    order = [EXIT_CODES[each] for each in (Outcome.UPHELD, Outcome.INCONCLUSIVE, Outcome.DEVIATED)]
    return max(exit_codes, key=order.index)


def _failing(gate: Gate, violations: Sequence[Violation], new: Collection[tuple[str, str]]) -> list[str]:
    reasons = []
    if gate.any_violation and violations:
        reasons.append(f"--fail-if-violations: {_named(violations)}")
    if gate.severity is not None:
        floor = SEVERITIES.index(gate.severity)
        if grave := [each for each in violations if SEVERITIES.index(each.severity) >= floor]:
            reasons.append(f"--fail-on {gate.severity}: {_named(grave)}")
    if gate.new_violation and (unseen := [each for each in violations if each.key in new]):
        reasons.append(f"--fail-on-new: {_named(unseen)}")
    return reasons


def _doubts(gate: Gate, result: AuditResult) -> list[str]:
    reasons = [
        f"{each.measure} could not be measured: {each.status}: {each.reason}"
        for each in result.measurements.values()
        if each.status in ("error", "unreachable")
    ]
    reasons += _not_believed(result)
    if gate.min_assessed is not None:
        assessed = result.assessed_percentage
        if assessed is None:
            reasons.append("--min-assessed: no control applies")
        elif assessed < gate.min_assessed:
            reasons.append(f"--min-assessed {gate.min_assessed:g}%: {assessed:.4g} % were assessed")
    return reasons


def _not_believed(result: AuditResult) -> list[str]:
    """Checks that hold on what was measured, and are not known: their positive control did not show it."""
    outcomes = {each.check.id: each for judged in result.controls for each in judged.outcomes}
    texts = []
    for name, outcome in sorted(outcomes.items()):
        measured = result.measurements[outcome.check.measure]
        held = judge(outcome.check, measured, result.profile.parameters).answer == "held"
        if held and outcome.answer == "not_known":
            texts.append(f"{outcome.text} ({name})")
    return texts


def _named(violations: Sequence[Violation]) -> str:
    count = len(violations)
    some = ", ".join(f"{each.control_id} ({each.check})" for each in violations[:_SHOWN])
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return f"{count} violation{'' if count == 1 else 's'}: {some}{more}"
