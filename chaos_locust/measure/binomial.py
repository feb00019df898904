"""What a share of so many can be by chance alone. Exact, after Clopper and Pearson (1934)."""

from __future__ import annotations

import math

CONFIDENCE = 0.95


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
