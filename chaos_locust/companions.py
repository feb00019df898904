"""Findings of companions (invariants, compliance, anybody's) that enter a verdict.

The invariants of a plan are judged by `invariants.load_run`, its controls by `compliance.load_run`. Any
other companion is an entry point in the group `chaos_locust.findings`: a callable that takes the plan and
the recording and returns findings, with its own name as their `source`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points

from chaos_locust.errors import Problem
from chaos_locust.events import Recording
from chaos_locust.judge.verdict import Finding, Outcome
from chaos_locust.plan.invariants import PlannedInvariant
from chaos_locust.plan.model import Plan

GROUP = "chaos_locust.findings"


def companion_problems(plan: Plan, offline: bool = False) -> list[Problem]:
    """What is wrong with the keys of the plan that companions read. offline: by the plan alone."""
    found: list[Problem] = []
    if plan.invariants:
        from invariants.load_run import problems as of_invariants

        found += of_invariants(plan)
    if plan.compliance:
        from compliance.load_run import problems as of_compliance

        found += of_compliance(plan, offline)
    return found


def planned_invariants(plan: Plan) -> list[PlannedInvariant]:
    """Those of the plan that can be judged, with what they will judge."""
    if not plan.invariants:
        return []
    from invariants.load_run import planned

    return planned(plan)


def companion_findings(plan: Plan, recording: Recording) -> Sequence[Finding]:
    """All findings of all companions. One that raises is a finding too: INCONCLUSIVE, never silence."""
    findings: list[Finding] = []
    if plan.invariants:
        from invariants.load_run import findings as judged

        findings += judged(plan, recording)
    if plan.compliance:
        from compliance.load_run import findings as asserted

        findings += asserted(plan, recording)
    for entry_point in entry_points(group=GROUP):
        try:
            findings += entry_point.load()(plan, recording)
        except Exception as error:  # a companion is foreign code: whatever it raises must reach the verdict
            reason = f"{entry_point.name} could not judge the run: {type(error).__name__}: {error}"
            findings.append(Finding(entry_point.name, entry_point.name, Outcome.INCONCLUSIVE, reason))
    return findings
