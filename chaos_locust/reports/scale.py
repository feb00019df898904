"""From values to places in a drawing, and the round values worth a tick."""

from __future__ import annotations

import math
from dataclasses import dataclass

_TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


@dataclass(frozen=True, slots=True)
class Linear:
    """`least` is drawn at `start`, `most` at `end`; outside it goes on."""

    least: float
    most: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.least) / (self.most - self.least)
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Logarithmic:
    """As `Linear`, by orders of magnitude; values are held within [least, most]."""

    least: float
    most: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        held = min(max(value, self.least), self.most)
        share = math.log(held / self.least) / math.log(self.most / self.least)
        return self.start + share * (self.end - self.start)


def time_ticks(length_s: float, most: int = 12) -> list[float]:
    """Round moments from 0 to `length_s`, at most about `most`."""
    step = next((s for s in _TIME_STEPS_S if length_s / s <= most), _TIME_STEPS_S[-1])
    return [float(step * i) for i in range(int(length_s // step) + 1)]


def round_up(value: float) -> float:
    """The next round number that is not below `value`, and whose half is round, too."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(f * power for f in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if f * power >= value * (1 - 1e-9))


def decades(least: float, most: float) -> tuple[float, float, list[float]]:
    """An axis by orders of magnitude that holds both: (its least, its most, its ticks 1, 10, 100...)."""
    low = 10.0 ** math.floor(math.log10(least) + 1e-9)
    while low * 2 <= least * (1 + 1e-9) and low * 2 < most / 5:
        low *= 2 if _leads_with(low, (1, 5)) else 2.5
    high = low
    while high < most * (1 - 1e-9):
        high *= 2 if _leads_with(high, (1, 5)) else 2.5
    if high <= low:
        high = low * 10
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [10.0**p for p in powers]
    if high / low < 50:
        ticks = sorted(f * 10.0**p for p in powers for f in (1, 2, 5))
    return low, high, [t for t in ticks if low * (1 - 1e-9) <= t <= high * (1 + 1e-9)]


def _leads_with(value: float, digits: tuple[int, ...]) -> bool:
    return round(value / 10.0 ** math.floor(math.log10(value) + 1e-9)) in digits
