"""Steady state: is the target as it should be in the five seconds from a given second on?

The plan's own `steady_state`, or by default: at most the greater of 1 % and twice the baseline's share
failed; at most 10 % slower than 1.5 x the baseline's p95; at least 95 % of what was offered ended well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from chaos_locust.judge.claims import DEVIATED, UPHELD, Range, ShareClaim
from chaos_locust.judge.context import FAILED, SHORT, Context, Place
from chaos_locust.judge.course import Stretch
from chaos_locust.judge.rules import Rule, rule_of
from chaos_locust.judge.series import Bad
from chaos_locust.judge.words import seconds as in_words
from chaos_locust.measure.binomial import surely_above
from chaos_locust.measure.histogram import NS
from chaos_locust.plan.objectives import EACH_REQUEST, Measure

WINDOW_S = 5
HOLD_S = 10
LEAST_ERROR_RATE = 0.01
ERROR_FACTOR = 2
SLOW_FACTOR = 1.5
SLOW_SHARE = 0.1
COMPLETED_SHARE = 0.95


class State(Enum):
    """GOOD: so by the counts. BAD: not so, beyond what chance does to so few samples (95 %, divided among
    all the looks). UNCLEAR: neither. INCOMPARABLE: at another load level than the baseline's."""

    GOOD = "good"
    BAD = "bad"
    UNCLEAR = "unclear"
    INCOMPARABLE = "incomparable"


@dataclass(frozen=True, slots=True)
class SteadyRules:
    """The rules, resolved against the baseline. shares: claims on counts, with their request names.
    values: rules about values. unknown: why some of them could not be resolved. by_baseline: they hold at
    the baseline's load level only.
    """

    shares: tuple[tuple[ShareClaim, str | None], ...]
    values: tuple[Rule, ...]
    unknown: tuple[str, ...]
    by_baseline: bool

    def slack_s(self, ctx: Context, start: int) -> float:
        """How long the good window at `start` may have been bad at its beginning: as long as a rule lets
        pass, if anything at all was bad there."""
        if not self.shares:
            return float(WINDOW_S)
        slack_s = 0.0
        for claim, subject in self.shares:
            may_s = WINDOW_S * (claim.limit if claim.at_most else 1 - claim.limit)
            beginning = range(start, start + math.ceil(may_s))
            if not claim.at_most or ctx.series.tally(claim.bad, subject, beginning).most:
                slack_s = max(slack_s, may_s)
        return slack_s

    def state(self, ctx: Context, at: range, looks: int) -> State:
        """How the target was in the seconds `at`, one of `looks` such windows."""
        if self.by_baseline and not ctx.comparable(Stretch(at.start, at.stop)):
            return State.INCOMPARABLE
        states = [self._share(ctx, claim, subject, at, looks) for claim, subject in self.shares]
        for rule in self.values:
            outcome = rule.decide(ctx, Place.of(at)).outcome
            states.append({UPHELD: State.GOOD, DEVIATED: State.BAD}.get(outcome, State.UNCLEAR))
        judged = [state for state in states if state is not None]
        if State.BAD in judged:
            return State.BAD
        if self.unknown or not judged or State.UNCLEAR in judged:
            return State.UNCLEAR
        return State.GOOD

    def _share(
        self, ctx: Context, claim: ShareClaim, subject: str | None, at: range, looks: int
    ) -> State | None:
        """None: that request was not made then, which says nothing."""
        tally = ctx.series.tally(claim.bad, subject, at)
        if not tally.n:
            return State.UNCLEAR if subject is None else None
        if claim.holds(tally.most, tally.n) and claim.holds(tally.least, tally.n):
            return State.GOOD
        if not claim.at_most:
            broken = not claim.holds(tally.most, tally.n)
            return State.BAD if broken else State.UNCLEAR
        surely = surely_above(tally.least, tally.n, claim.limit, looks)
        return State.BAD if surely and claim.survives(tally, ctx.doubt) else State.UNCLEAR


def steady_rules(ctx: Context) -> SteadyRules:
    """The plan's rules, or the default ones."""
    if not ctx.plan.steady_state:
        return _default_rules(ctx)
    shares: list[tuple[ShareClaim, str | None]] = []
    values: list[Rule] = []
    unknown: list[str] = []
    for objective in ctx.plan.steady_state:
        each = objective.subject == EACH_REQUEST
        for subject in ctx.series.names if each else [objective.subject]:
            rule = rule_of(ctx, objective, subject)
            if isinstance(rule, str):
                unknown.append(rule)
            elif rule.claim is not None:
                shares.append((rule.claim, subject))
            else:
                values.append(rule)
    by_baseline = any(o.bound.relative in ("factor", "plus") for o in ctx.plan.steady_state)
    return SteadyRules(tuple(shares), tuple(values), tuple(unknown), by_baseline)


def _default_rules(ctx: Context) -> SteadyRules:
    errors = ctx.reference(Measure("error_rate"), None)
    p95 = ctx.reference(Measure("quantile", quantile=0.95), None)
    shares: list[tuple[ShareClaim, str | None]] = []
    unknown = [found for found in (errors, p95) if isinstance(found, str)]
    if not isinstance(errors, str):
        limit = max(LEAST_ERROR_RATE, ERROR_FACTOR * errors.value.most)
        shares.append((ShareClaim(FAILED, limit, True, False, "failed"), None))
    if not isinstance(p95, str):
        slow: Range = p95.value.scaled(SLOW_FACTOR)
        bad = Bad("slow", round(slow.least * NS) + 1, round(slow.most * NS) + 1)
        what = f"were slower than {in_words(slow.most)}"
        shares.append((ShareClaim(bad, SLOW_SHARE, True, False, what), None))
    if ctx.series.open:
        what = "of what was offered did not end well"
        shares.append((ShareClaim(SHORT, 1 - COMPLETED_SHARE, True, False, what), None))
    return SteadyRules(tuple(shares), (), tuple(unknown), by_baseline=True)
