"""Compliance audits with evidence.

from compliance import ComplianceFramework
result = ComplianceFramework.fisma("moderate").audit(target="target.yaml")
assert not result.high_severity_violations(), result.remediation_summary()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the import stays cheap: what audits is imported when one is asked for
    from compliance.decisions import Decision
    from compliance.result import AuditResult
    from compliance.target import Target

__all__ = ["ComplianceFramework", "audit"]


def audit(
    framework: str,
    target: Target | Path | str,
    *,
    profile: str | None = None,
    decisions: Sequence[Decision] | Path | str = (),
    allow_disruptive: bool = False,
) -> AuditResult:
    """Audits the target. framework: fisma, fedramp, soc2, hipaa or pcidss; profile: which of its parts apply,
    such as `moderate`; None: what the target's description says, else its default, where it has one. target,
    decisions: files, or what is in them. allow_disruptive: also measures that may lock the canary account
    out. Raises ChaosError."""
    import os

    from compliance.auditor import Auditor
    from compliance.catalogue import load
    from compliance.decisions import read_decisions
    from compliance.target import load_target

    loaded = load(framework)
    if isinstance(target, str | Path):
        target = load_target(Path(target), os.environ)
    if isinstance(decisions, str | Path):
        decisions = read_decisions(Path(decisions), lambda name: frozenset(load(name).controls))
    applying = loaded.profile(profile or target.profile(loaded.id))
    return Auditor(target, allow_disruptive).audit(loaded, applying, decisions)


@dataclass(frozen=True, slots=True)
class ComplianceFramework:
    """A framework, and which of its profiles applies; None: what the target's description says, else its
    default. fisma and fedramp have none: the impact level and the class are the owner's to say."""

    id: str
    profile: str | None = None

    @classmethod
    def fisma(cls, profile: str | None = None) -> ComplianceFramework:
        return cls("fisma", profile)

    @classmethod
    def fedramp(cls, profile: str | None = None) -> ComplianceFramework:
        return cls("fedramp", profile)

    @classmethod
    def soc2(cls, profile: str | None = None) -> ComplianceFramework:
        return cls("soc2", profile)

    @classmethod
    def hipaa(cls, profile: str | None = None) -> ComplianceFramework:
        return cls("hipaa", profile)

    @classmethod
    def pcidss(cls, profile: str | None = None) -> ComplianceFramework:
        return cls("pcidss", profile)

    def audit(
        self,
        target: Target | Path | str,
        decisions: Sequence[Decision] | Path | str = (),
        allow_disruptive: bool = False,
    ) -> AuditResult:
        """See `compliance.audit`."""
        return audit(
            self.id, target, profile=self.profile, decisions=decisions, allow_disruptive=allow_disruptive
        )
