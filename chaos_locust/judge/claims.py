"""What an objective claims of a stretch of seconds, and whether it is so.

A claim about a share ("at most 1 % were slower than 100 ms", "less than 5 % failed") is decided on counts.
A claim about a value (mean, max, throughput, outage, a probe) is decided on the value, an interval where it
is only known to lie within one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from chaos_locust.judge.doubt import Doubt
from chaos_locust.judge.series import Bad, Tally
from chaos_locust.judge.verdict import Outcome
from chaos_locust.judge.words import count, share
from chaos_locust.measure.binomial import surely_above
from chaos_locust.plan.objectives import Op
from chaos_locust.plan.samples import samples_floor

UPHELD, DEVIATED, INCONCLUSIVE = Outcome.UPHELD, Outcome.DEVIATED, Outcome.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class ShareClaim:
    """The bad share is at most `limit` (at_most), or else above it; `strict`: and not equal to it."""

    bad: Bad
    limit: float
    at_most: bool
    strict: bool
    what: str  # of the bad ones: "were slower than 100 ms"

    def holds(self, k: int, n: int) -> bool:
        """Whether `k` bad ones of `n` are what is claimed: a fact."""
        over = k - self.limit * n
        equal = abs(over) < 1e-9 * max(1, n)
        if equal:
            return not self.strict
        return (over < 0) == self.at_most

    def decide(self, tally: Tally, looks: int = 1, cut: bool = False) -> tuple[Outcome, str]:
        """The outcome and why. From the sample floor on the fact decides; below it, and where the run's end
        cut the stretch short, only a surely broken limit does (95 %, divided among `looks`)."""
        if not tally.n:
            return INCONCLUSIVE, "there were no requests to judge"
        floor = samples_floor(self.limit)
        if tally.n >= floor and not cut:
            return self._fact(tally)
        few = "the run ended before its time" if cut else f"{floor} samples are needed to decide"
        if self.at_most and surely_above(tally.least, tally.n, self.limit, looks):
            return DEVIATED, f"{self.told(tally.least, tally.n)}, surely above the limit though {few}"
        return INCONCLUSIVE, f"{self.told(tally.least, tally.n)}, but {few}"

    def _fact(self, tally: Tally) -> tuple[Outcome, str]:
        least, most = self.holds(tally.least, tally.n), self.holds(tally.most, tally.n)
        if least == most:
            return (UPHELD if least else DEVIATED), self.told(tally.least, tally.n)
        between = f"between {count(tally.least)} and {count(tally.most)} of {count(tally.n)} {self.what}"
        return INCONCLUSIVE, f"{between}, which does not decide it"

    def survives(self, tally: Tally, doubt: Doubt, cut: bool = False) -> bool:
        """Whether DEVIATED stands when only what cannot be the generator's doing counts as bad."""
        if not self.at_most or not doubt.of_measuring:
            return True
        k = tally.answered if doubt.timing or self.bad.kind == "short" else tally.seen
        hard = Tally(tally.n, k, k, k, k)
        return self.decide(hard, cut=cut)[0] is DEVIATED

    def told(self, k: int, n: int) -> str:
        limit = f"{share(self.limit)} allowed" if self.at_most else f"more than {share(self.limit)} expected"
        return f"{share(k / n)} of {count(n)} {self.what} ({limit})"


@dataclass(frozen=True, slots=True)
class Range:
    """A value known to lie in [least, most]."""

    least: float
    most: float

    def scaled(self, factor: float) -> Range:
        return Range(self.least * factor, self.most * factor)

    def plus(self, value: float) -> Range:
        return Range(self.least + value, self.most + value)


def compare(value: Range, op: Op, bound: Range) -> Outcome:
    """`value op bound` when it is so, or not so, for all that the two can be; else INCONCLUSIVE."""
    if op in (">", ">="):
        flipped: Op = "<" if op == ">" else "<="
        return compare(Range(-value.most, -value.least), flipped, Range(-bound.most, -bound.least))
    slack = 1e-12 if math.isinf(bound.most) else 1e-9 * max(1.0, abs(bound.most))
    if op == "<=":
        if value.most <= bound.least + slack:
            return UPHELD
        return DEVIATED if value.least > bound.most + slack else INCONCLUSIVE
    if value.most < bound.least - slack:
        return UPHELD
    return DEVIATED if value.least >= bound.most - slack else INCONCLUSIVE
