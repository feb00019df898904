"""What a number of samples can decide, and how far a share is from its limit against the sampling noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

CONFIDENCE = 0.95
BATCHES = 30
_Z = 1.96
_T_BATCHES = 2.045  # Student's t for 95 % and BATCHES - 1 degrees of freedom


def tail(k: int, n: int, share: float) -> float:
    """The chance of `k` or more bad ones of `n` when each is bad with the chance `share`."""
    if k <= 0:
        return 1.0
    if share <= 0 or k > n:
        return 0.0
    if share >= 1:
        return 1.0
    log_term = (
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(share)
        + (n - k) * math.log1p(-share)
    )
    if k < n * share:  # the lower side is the smaller one: sum that and take the complement
        return 1.0 - _sum_down(k - 1, n, share)
    term, total, i = math.exp(log_term), 0.0, k
    while i <= n and term > total * 1e-12:
        total += term
        term *= (n - i) / (i + 1) * share / (1 - share)
        i += 1
    return min(1.0, total)


def _sum_down(k: int, n: int, share: float) -> float:
    """The chance of `k` or fewer."""
    return tail(n - k, n, 1 - share)


def surely_above(k: int, n: int, limit: float, looks: int = 1) -> bool:
    """Whether the one-sided 95 % lower bound of k/n exceeds `limit` (exact; divided among `looks` looks)."""
    return n > 0 and k > limit * n and tail(k, n, limit) < (1 - CONFIDENCE) / looks


def interval(batches: Sequence[tuple[int, int]]) -> tuple[float, float, bool] | None:
    """The 95 % interval of a share from batches (bad, all) in order of time; and whether they are correlated.

    The wider of Wilson's interval, which takes samples for independent, and that of the batches' own
    scatter, which does not. Correlated: the batches scatter over 1.5 times as much as chance would.
    """
    n = sum(batch[1] for batch in batches)
    if not n:
        return None
    k = sum(batch[0] for batch in batches)
    share = k / n
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    low, high = centre - half, centre + half
    if len(batches) < BATCHES or not 0 < k < n:
        return low, high, False
    squares = sum((bad - share * all_) ** 2 for bad, all_ in batches)
    error = math.sqrt(squares * len(batches) / (len(batches) - 1)) / n
    chance = math.sqrt(share * (1 - share) / n)
    return min(low, share - _T_BATCHES * error), max(high, share + _T_BATCHES * error), error > 1.5 * chance


def margin(batches: Sequence[tuple[int, int]], limit: float) -> tuple[Literal["clear", "thin"], bool] | None:
    """Whether `limit` lies outside the share's interval (clear) or in it (thin), and the correlation."""
    found = interval(batches)
    if found is None:
        return None
    low, high, correlated = found
    return ("thin" if low <= limit <= high else "clear"), correlated
