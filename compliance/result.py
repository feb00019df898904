"""What an audit says: the state of every control, the violations, and how much was assessed at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any

from compliance.catalogue import Framework, Profile
from compliance.checks import SEVERITIES, Severity
from compliance.measurement import Measurement
from compliance.rollup import Judged, State

DAYS_TO_MEND: Mapping[Severity, int] = {"critical": 7, "high": 30, "medium": 90, "low": 180}


@dataclass(frozen=True, slots=True)
class Violation:
    """One check that failed, for one control. target_date: by when it is to be mended: that of its plan,
    else so many days after it was first seen as its severity allows. evidence: the measurement's sha256.
    waived: known and accepted for a time: it fails no gate."""

    control_id: str
    control_description: str
    violation_description: str
    remediation: tuple[str, ...]
    severity: Severity
    target_date: date
    responsible_team: str
    check: str
    evidence: str
    in_progress: bool
    waived: bool

    @property
    def key(self) -> tuple[str, str]:
        """The same in every audit in which it is seen."""
        return self.control_id, self.check

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "remediation": list(self.remediation), "target_date": str(self.target_date)}


@dataclass(frozen=True)
class AuditResult:
    """One audit of one target. controls: in the order of the profile. measurements: by name. first_seen: when
    each violation that is still there was seen for the first time, as far as the history goes back. on_bad:
    by measure, the positive control, where a check held."""

    framework: Framework
    profile: Profile
    target: str
    audited_at: str
    today: date
    took_s: float
    controls: tuple[Judged, ...]
    measurements: Mapping[str, Measurement]
    first_seen: Mapping[tuple[str, str], date]
    on_bad: Mapping[str, Measurement] = field(default_factory=dict)

    def is_compliant(self) -> bool:
        """Every control that applies is met: none is violated, being mended or not assessed."""
        return self.compliant_controls == self.total_controls - self.not_applicable_controls > 0

    @property
    def total_controls(self) -> int:
        return len(self.controls)

    @property
    def compliant_controls(self) -> int:
        return self._count("compliant")

    @property
    def non_compliant_controls(self) -> int:
        return self._count("non_compliant")

    @property
    def in_progress_controls(self) -> int:
        return self._count("in_progress")

    @property
    def not_applicable_controls(self) -> int:
        return self._count("not_applicable")

    @property
    def not_assessed_controls(self) -> int:
        return self._count("not_assessed")

    @property
    def compliance_percentage(self) -> float | None:
        """Compliant ones of those that apply; what was not assessed is one that applies. None: none
        applies."""
        return self._percentage(self.compliant_controls)

    @property
    def assessed_percentage(self) -> float | None:
        """Those of which something is known, of those that apply. None: none applies."""
        applying = self.total_controls - self.not_applicable_controls
        return self._percentage(applying - self.not_assessed_controls)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The gravest first."""
        found = [each for judged in self.controls for each in self._violations(judged)]
        return tuple(sorted(found, key=lambda each: -SEVERITIES.index(each.severity)))

    def high_severity_violations(self) -> tuple[Violation, ...]:
        return tuple(each for each in self.violations if each.severity in ("high", "critical"))

    def remediation_summary(self) -> str:
        """What is to be done, by date: one line for each check that failed, and its controls."""
        by_check: dict[str, list[Violation]] = {}
        for each in self.violations:
            by_check.setdefault(each.check, []).append(each)
        groups = sorted(by_check.values(), key=lambda group: (group[0].target_date, group[0].check))
        return "\n".join(
            f"{group[0].target_date} {group[0].responsible_team} [{group[0].severity}] "
            f"{', '.join(each.control_id for each in group)}: {' '.join(group[0].remediation)}"
            for group in groups
        )

    def groups(self) -> dict[str, Counter[State]]:
        """How many controls of each group of the framework (a family, a main requirement) are in which
        state."""
        found: dict[str, Counter[State]] = {}
        for each in self.controls:
            found.setdefault(each.control.group, Counter())[each.state] += 1
        return found

    def _violations(self, judged: Judged) -> Sequence[Violation]:
        if judged.state not in ("non_compliant", "in_progress"):
            return ()
        plans = [each for each in judged.decisions if each.kind == "plan" and each.is_good(self.today)]
        found = []
        for outcome in judged.outcomes:
            if outcome.answer != "failed":
                continue
            check, control = outcome.check, judged.control
            said = check.says.get(self.framework.id)
            seen = self.first_seen.get((control.id, check.id), self.today)
            until = min(
                (each.item.expires_on for each in plans),
                default=seen + timedelta(days=DAYS_TO_MEND[check.severity]),
            )
            found.append(
                Violation(
                    control.id,
                    control.title,
                    f"{said} {outcome.text}" if said else outcome.text,
                    check.remediation,
                    check.severity,
                    until,
                    check.team,
                    check.id,
                    outcome.evidence,
                    bool(plans),
                    judged.waived,
                )
            )
        return found

    def _count(self, state: State) -> int:
        return sum(each.state == state for each in self.controls)

    def _percentage(self, count: int) -> float | None:
        applying = self.total_controls - self.not_applicable_controls
        return 100 * count / applying if applying else None
