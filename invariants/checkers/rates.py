"""Claims about many: how slow, how often wrong. Decided by binomial bounds, so that few tell nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chaos_locust.measure.binomial import surely_above
from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation

ENOUGH = 299
"""From so many on the fact of this run decides; below, only an interval that lies wholly above the limit."""


@dataclass(frozen=True, slots=True)
class LatencyBounded:
    """At most 1 - quantile of the operations take longer than limit_s; one without an answer always does.

    Those that failed do not count: to refuse at once is not to be quick.
    """

    limit_s: float
    quantile: float = 0.99
    kinds: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "latency-bounded"

    def check(self, history: History) -> Checked:
        operations = [op for op in _chosen(history, self.kinds) if op.maybe]
        slow = [op for op in operations if op.outcome == "info" or op.lasted_s > self.limit_s]
        allowed = round(1 - self.quantile, 9)  # 1 - 0.9 is less than 0.1
        words = f"took longer than {self.limit_s:g} s"
        if slow:
            words += f", p{self.quantile * 100:g} was {_measured(operations, allowed)}"
        return _judge(self.name, operations, slow, allowed, words, "too slow")


@dataclass(frozen=True, slots=True)
class ErrorRateLimited:
    """At most `limit` (0 to 1) of the operations fail or have no answer."""

    limit: float
    kinds: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "error-rate-limited"

    def check(self, history: History) -> Checked:
        operations = _chosen(history, self.kinds)
        failed = [op for op in operations if not op.happened]
        return _judge(self.name, operations, failed, self.limit, "failed or had no answer", "too many errors")


def _chosen(history: History, kinds: tuple[str, ...]) -> Sequence[Operation]:
    return history.of(*kinds) if kinds else history.operations


def _measured(operations: Sequence[Operation], allowed: float) -> str:
    """What all but the allowed share took at most."""
    lasted_s = sorted((op.lasted_s for op in operations), reverse=True)[int(allowed * len(operations))]
    return "no answer at all" if math.isinf(lasted_s) else f"{lasted_s * 1000:.4g} ms"


def _judge(
    name: str,
    operations: Sequence[Operation],
    bad: Sequence[Operation],
    allowed: float,
    words: str,
    anomaly: str,
) -> Checked:
    count, seen = len(operations), {"operations": len(operations), "bad": len(bad)}
    if not count:
        return Checked((), "nothing was answered", seen)
    share = len(bad) / count
    if surely_above(len(bad), count, allowed) or (count >= ENOUGH and share > allowed):
        title = f"{len(bad)} of {count} {words} ({share:.2%}, {allowed:.2%} allowed)"
        return Checked((Violation(name, title, tuple(bad[:5]), anomaly),), "", seen)
    few = f"{count} operations are too few to tell; {ENOUGH} are needed" if count < ENOUGH else ""
    return Checked((), few, seen)
