"""The verdict as one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from chaos_locust.judge.claims import INCONCLUSIVE, UPHELD
from chaos_locust.judge.verdict import FaultRecord, Finding, Outcome
from chaos_locust.judge.words import number, span
from chaos_locust.plan.objectives import Objective, RecoveryObjective

Rules = Mapping[str, Objective | RecoveryObjective]


def sentence_of(
    outcome: Outcome, findings: Sequence[Finding], rules: Rules, records: Sequence[FaultRecord], dirty: bool
) -> str:
    """`DEVIATED: with latency on postgres, 14.2 % of POST /orders failed (allowed 10 %); recovered ...`"""
    gating = [f for f in findings if f.severity == "error"]
    parts: list[str] = ["the target was left changed"] if dirty else []
    if outcome is UPHELD:
        held = sum(f.source == "objective" for f in gating)
        parts.append(
            f"{held} objective{'s' if held != 1 else ''} held" if held else "everything demanded held"
        )
    else:
        worst = [f for f in gating if f.outcome is outcome]
        parts.append(_told(worst[0], rules.get(worst[0].text), records) if worst else "nothing was demanded")
        if len(worst) > 1:
            parts[-1] += f", and {len(worst) - 1} more"
    # one that was never seen bad, nor good for long enough, says nothing
    recovered = [r for r in records if r.recovery is not None and r.recovery != (0.0, math.inf)]
    if recovered:
        parts.append(_recoveries(recovered))
    return f"{outcome.value}: {'; '.join(parts)}"


def _told(
    finding: Finding, rule: Objective | RecoveryObjective | None, records: Sequence[FaultRecord]
) -> str:
    if finding.outcome is INCONCLUSIVE or not isinstance(rule, Objective) or finding.value is None:
        return f"{finding.text}: {finding.reason}" if finding.source != "abort" else finding.reason
    scope = rule.scope
    where = ""
    if scope is not None:
        named = [r for r in records if r.name in scope.labels]
        with_ = " and ".join(f"{r.kind} on {r.target}" for r in named)
        where = f"{'after' if scope.kind == 'after' else 'with'} {with_}, " if named else ""
        if not named and scope.labels != ("run",):
            where = f"during {' and '.join(scope.labels)}, "
    return where + _fact(finding, rule)


def _fact(finding: Finding, rule: Objective) -> str:
    whose = finding.subject or "all requests"
    value = number(finding.value if finding.value is not None else math.nan, finding.unit)
    bound = number(finding.bound if finding.bound is not None else math.nan, finding.unit)
    kind = rule.measure.kind
    allowed = f"(allowed {bound})" if finding.op in ("<", "<=") else f"(at least {bound} wanted)"
    if kind == "error_rate":
        return f"{value} of {whose} failed {allowed}"
    if kind == "dropped":
        return f"{value} of the arrivals were dropped {allowed}"
    if kind == "quantile" and rule.measure.quantile is not None:
        return f"p{rule.measure.quantile * 100:g} of {whose} was {value} {allowed}"
    if kind == "outage" and finding.interval is not None:
        return f"{whose} had no success for {span(finding.interval)} {allowed}"
    return f"{kind} of {whose} was {value} {allowed}"


def _recoveries(records: Sequence[FaultRecord]) -> str:
    """The slowest recovery."""
    slowest = max(records, key=lambda record: record.recovery or (0.0, 0.0))
    assert slowest.recovery is not None
    after = f" after {slowest.name}" if len(records) > 1 else " after"
    if math.isinf(slowest.recovery[1]):
        return f"not seen to be recovered {slowest.recovery[0]:.1f} s{after}"
    return f"recovered {span(slowest.recovery)}{after}"
