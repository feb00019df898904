"""When every arrival of an open workload is due. Pure: the same load and seed give the same times anywhere.

Arrivals live on an axis where the load's rate is one: the integral of the rate from the start. Constant
arrivals lie at 0.5, 1.5, 2.5, ...: in the middle, so that no rounding decides on which side of a step's
boundary an arrival falls. Poisson arrivals lie at random with a mean distance of one. The inverse of the
integral makes due times of both.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from math import ceil, inf, sqrt
from random import Random

from chaos_locust.plan.load import Load, Step

# Poisson arrivals are drawn in blocks, each by a generator of its own: any one can be had without the others
_BLOCK = 1024
# On the axis of arrivals; more than any rounding, less than a distance that would cost time
_MARGIN = 0.01


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A step with the integral of the rate at its start and end."""

    step: Step
    begins: float
    ends: float

    def due_s(self, position: float) -> float:
        """Where the integral reaches `position`, which lies in this stretch."""
        step, rest = self.step, position - self.begins
        slope = (step.end_level - step.start_level) / step.duration_s
        # the solution of start * x + slope / 2 * x^2 = rest that stays exact when slope is nearly 0
        speed = step.start_level + sqrt(max(step.start_level**2 + 2 * slope * rest, 0.0))
        elapsed_s = 2 * rest / speed if speed > 0 else 0.0
        return step.starts_s + min(elapsed_s, step.duration_s)

    def position(self, t_s: float) -> float:
        elapsed_s = t_s - self.step.starts_s
        return self.begins + elapsed_s * (self.step.start_level + self.step.level_at(t_s)) / 2


class Schedule:
    """All arrivals of `load`, numbered from 0 in the order of their due times (seconds of the run)."""

    def __init__(self, load: Load, seed: int) -> None:
        """Raises ValueError for a closed workload, where users and not a schedule make requests."""
        if load.workload != "open":
            raise ValueError("a closed workload has no schedule: its users start the next request themselves")
        self._seed = seed if load.arrivals == "poisson" else None
        self._stretches: list[_Stretch] = []
        begins = 0.0
        for step in load.steps:
            ends = begins + step.duration_s * (step.start_level + step.end_level) / 2
            self._stretches.append(_Stretch(step, begins, ends))
            begins = ends
        self._starts_s = [stretch.step.starts_s for stretch in self._stretches]
        self._begins = [stretch.begins for stretch in self._stretches]
        self._offered = begins
        self._block_begins = [0.0]  # as far as it was asked for

    def due_times(self, since_s: float, until_s: float) -> Iterator[tuple[int, float]]:
        """(index, due_s) with since_s <= due_s < until_s, in order."""
        first = self.offered_by(since_s) - _MARGIN
        positions = self._constant(first) if self._seed is None else self._poisson(first)
        stretches = self._stretches
        at = max(bisect_right(self._begins, max(first, 0.0)) - 1, 0)
        stretch, end = stretches[at], stretches[at].ends
        for index, position in positions:
            if position >= self._offered:
                return
            while position >= end:
                at += 1
                stretch, end = stretches[at], stretches[at].ends
            due_s = stretch.due_s(position)
            if due_s >= until_s:
                return
            if due_s >= since_s:
                yield index, due_s

    def count(self, since_s: float, until_s: float) -> int:
        """How many arrivals are due in [since_s, until_s)."""
        return max(self._index_at(until_s) - self._index_at(since_s), 0)

    @staticmethod
    def share(index: int, i: int, n: int) -> bool:
        """Whether arrival `index` belongs to worker `i` of `n`."""
        return index % n == i

    def offered_by(self, t_s: float) -> float:
        """The integral of the rate from the start to `t_s`: how many arrivals are to be expected."""
        if t_s <= 0:
            return 0.0
        stretch = self._stretches[bisect_right(self._starts_s, t_s) - 1]
        return min(stretch.position(min(t_s, stretch.step.ends_s)), stretch.ends)

    def _index_at(self, t_s: float) -> int:
        """The index of the first arrival due at or after `t_s`; after the last, the number of all."""
        following = next(self.due_times(t_s, inf), None)
        return following[0] if following else self._total()

    def _total(self) -> int:
        positions = self._constant if self._seed is None else self._poisson
        return next(
            index for index, position in positions(self._offered - _MARGIN) if position >= self._offered
        )

    @staticmethod
    def _constant(first: float) -> Iterator[tuple[int, float]]:
        """(index, position) of every arrival at or after the position `first`."""
        return ((index, index + 0.5) for index in count(max(ceil(first - 0.5), 0)))

    def _poisson(self, first: float) -> Iterator[tuple[int, float]]:
        """(index, position) from the beginning of the block that has the position `first`."""
        while self._block_begins[-1] <= first:
            self._block_begins.append(self._next_block())
        for block in count(max(bisect_right(self._block_begins, first) - 1, 0)):
            if block + 1 == len(self._block_begins):
                self._block_begins.append(self._next_block())
            begins, ends = self._block_begins[block], self._block_begins[block + 1]
            # given where the block's last arrival is, the others are evenly distributed before it
            random = self._generator(block)
            random.gammavariate(_BLOCK, 1.0)
            inside = sorted(random.random() for _ in range(_BLOCK - 1))
            for index, part in enumerate(inside, block * _BLOCK):
                yield index, begins + part * (ends - begins)
            yield (block + 1) * _BLOCK - 1, ends

    def _next_block(self) -> float:
        """Where the next block that is not known yet ends: the sum of its arrivals' distances."""
        known = len(self._block_begins) - 1
        return self._block_begins[known] + self._generator(known).gammavariate(_BLOCK, 1.0)

    def _generator(self, block: int) -> Random:
        return Random(f"{self._seed}/{block}")
