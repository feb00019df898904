"""One rule over one stretch of seconds: builds the claim, decides it, and says what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from chaos_locust.judge.claims import DEVIATED, INCONCLUSIVE, UPHELD, Range, ShareClaim, compare
from chaos_locust.judge.context import DROPPED, FAILED, SHORT, Context, Place
from chaos_locust.judge.doubt import Doubt
from chaos_locust.judge.layout import is_latency, slow_from_ns
from chaos_locust.judge.sampling import BATCHES, margin
from chaos_locust.judge.series import Bad
from chaos_locust.judge.verdict import Outcome
from chaos_locust.judge.words import number
from chaos_locust.judge.words import seconds as in_words
from chaos_locust.plan.objectives import Objective
from chaos_locust.plan.samples import SMALLEST_FLOOR

PROBE_GAP_S = 3.0
"""Probes are read once a second: where there is nothing for longer, nobody looked."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome, why, and how bad it was (to choose the worst of several)."""

    outcome: Outcome
    reason: str
    badness: float = 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with its subject and its bound resolved. claim: None when it is about a value."""

    objective: Objective
    subject: str | None
    bound: Range
    claim: ShareClaim | None

    def decide(self, ctx: Context, place: Place, looks: int = 1) -> Decision:
        """At one of `looks` places. Doubts count."""
        if self.claim is None:
            return self._decide_value(ctx, place)
        tally = ctx.series.tally(self.claim.bad, self.subject, place.at)
        outcome, reason = self.claim.decide(tally, looks, place.cut)
        if outcome is DEVIATED and not self.claim.survives(tally, ctx.doubt, place.cut):
            outcome, reason = INCONCLUSIVE, _blamed(reason, ctx.doubt)
        share = tally.least / tally.n if tally.n else 0.0
        return Decision(outcome, reason, share if self.claim.at_most else -share)

    def margin(self, ctx: Context, at: range) -> tuple[Literal["clear", "thin"], bool] | None:
        """Whether the limit is outside the share's interval, and whether the batches are correlated."""
        if self.claim is None:
            return None
        return margin(ctx.series.batches(self.claim.bad, self.subject, at, BATCHES), self.claim.limit)

    def _decide_value(self, ctx: Context, place: Place) -> Decision:
        measure, op = self.objective.measure, self.objective.op
        if measure.kind == "probe":
            return self._decide_probe(ctx, place)
        found = ctx.measured(measure, self.subject, place)
        if found is None:
            return Decision(INCONCLUSIVE, "there was nothing to measure")
        limit = number(self.bound.most, self.objective.bound.unit)
        told = f"{_value_text(found.value, self.objective)} (limit {limit})"
        outcome = compare(found.value, op, self.bound)
        if measure.kind in ("mean", "max") and found.samples < SMALLEST_FLOOR and outcome is UPHELD:
            told = f"{told}, but {SMALLEST_FLOOR} samples are needed to decide"
            outcome = INCONCLUSIVE
        proven = measure.kind in ("max", "outage") and op in ("<", "<=")
        if place.cut and outcome is not INCONCLUSIVE and not (proven and outcome is DEVIATED):
            outcome, told = INCONCLUSIVE, f"{told}, but the run ended before its time"
        if outcome is DEVIATED and ctx.doubt.of_measuring and not self._answered(ctx, place.at):
            outcome, told = INCONCLUSIVE, _blamed(told, ctx.doubt)
        return Decision(outcome, told, found.value.most if op in ("<", "<=") else -found.value.least)

    def _answered(self, ctx: Context, at: range) -> bool:
        """A mean or maximum is infinite because the target itself answered with an error."""
        if self.objective.measure.kind not in ("mean", "max") or self.objective.measure.ok_only:
            return False
        return ctx.series.tally(FAILED, self.subject, at).answered > 0

    def _decide_probe(self, ctx: Context, place: Place) -> Decision:
        """Every reading has to comply."""
        readings = ctx.readings(self.objective.measure, place.at)
        known = [value for value in readings if value is not None]
        if not known:
            return Decision(INCONCLUSIVE, "the probe read nothing")
        worst = max(known) if self.objective.op in ("<", "<=") else min(known)
        outcome = compare(Range(worst, worst), self.objective.op, self.bound)
        told = f"the worst of {len(known)} readings was {number(worst, self.objective.bound.unit)}"
        if outcome is UPHELD and (why := self._unread(ctx, place, len(readings) - len(known))):
            return Decision(INCONCLUSIVE, f"{told}, but {why}")
        return Decision(outcome, told, worst if self.objective.op in ("<", "<=") else -worst)

    def _unread(self, ctx: Context, place: Place, failed: int) -> str:
        """What of the time nobody looked at; empty: all was."""
        gap_s = ctx.longest_gap_s(self.objective.measure, place.at)
        if place.cut:
            return "the run ended before its time"
        if failed:
            return f"{failed} readings failed"
        return f"nothing was read for {in_words(gap_s)}" if gap_s > PROBE_GAP_S else ""


def rule_of(ctx: Context, objective: Objective, subject: str | None) -> Rule | str:
    """The rule, its bound resolved against the baseline; or why that cannot be done."""
    bound = ctx.bound(objective, subject)
    if isinstance(bound, str):
        return bound
    return Rule(objective, subject, bound, _claim(objective, bound))


def guard_s(rule: Rule, timeout_s: float) -> float:
    """How long before an onset requests can have met the fault without having broken the rule already."""
    return min(rule.bound.most, timeout_s) if is_latency(rule.objective) else timeout_s


def _claim(objective: Objective, bound: Range) -> ShareClaim | None:
    """None: it is about a value. A share that is only known as a range (never so in practice, for counts are
    exact once a run is over) is taken at its stricter end."""
    measure, op = objective.measure, objective.op
    at_most, strict = op in ("<", "<="), op in ("<", ">")
    if measure.kind == "quantile":
        assert measure.quantile is not None
        least_ns, most_ns = (slow_from_ns(op, edge) for edge in (bound.least, bound.most))
        than = "slower than" if op in ("<=", ">") else "not faster than"
        what = f"{than} {in_words(bound.most)}"
        bad = Bad("slow", least_ns, most_ns, measure.ok_only)
        return ShareClaim(bad, 1 - measure.quantile, at_most, not at_most, f"were {what}")
    limit = bound.least if at_most else bound.most
    if measure.kind == "error_rate":
        return ShareClaim(FAILED, limit, at_most, strict, "failed")
    if measure.kind == "availability":
        good = bound.most if op in (">", ">=") else bound.least
        return ShareClaim(FAILED, 1 - good, not at_most, strict, "failed")
    if measure.kind == "dropped" and objective.bound.unit == "ratio":
        return ShareClaim(DROPPED, limit, at_most, strict, "were dropped")
    if measure.kind == "throughput" and objective.bound.relative == "offered":
        return ShareClaim(SHORT, 1 - bound.most, not at_most, strict, "of what was offered did not end well")
    return None


def shown(ctx: Context, rule: Rule, place: Place) -> tuple[float | None, int | None, Range | None]:
    """(value, samples, range) as a finding shows them, in the bound's unit."""
    measure, bound = rule.objective.measure, rule.objective.bound
    if bound.relative == "offered":
        tally = ctx.series.tally(SHORT, None, place.at)
        return (1 - tally.least / tally.n if tally.n else None), tally.n, None
    if measure.kind == "probe":
        known = [value for value in ctx.readings(measure, place.at) if value is not None]
        pick: Callable[[list[float]], float] = max if rule.objective.op in ("<", "<=") else min
        return (pick(known) if known else None), len(known), None
    found = ctx.measured(measure, rule.subject, place)
    if found is None:
        return None, 0, None
    return (found.value.least if measure.kind == "outage" else found.value.most), found.samples, found.value


def _blamed(reason: str, doubt: Doubt) -> str:
    return f"{reason}, but the load generator may have caused it: {doubt}"


def _value_text(value: Range, objective: Objective) -> str:
    kind, unit = objective.measure.kind, objective.bound.unit
    if kind == "outage":
        if math.isinf(value.most):
            return f"no success for {value.least:.1f} s or longer"
        return f"no success for {value.least:.1f}-{value.most:.1f} s"
    name = {"mean": "the mean was", "max": "the slowest took", "throughput": "throughput was"}.get(kind, kind)
    if math.isinf(value.most):
        return f"{name} infinite, for requests failed"
    return f"{name} {number(value.most, unit)}"


def stretches(at: range, length: int) -> list[range]:
    """Every stretch of `length` seconds in `at`, moved by one second."""
    return [range(start, start + length) for start in range(at.start, at.stop - length + 1)]
