"""What a number of samples can decide, and how far a share is from its limit against the sampling noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

BATCHES = 30
_Z = 1.96
_T_BATCHES = 2.045  # Student's t for 95 % and BATCHES - 1 degrees of freedom


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
