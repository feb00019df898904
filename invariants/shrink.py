"""The shortest sequence that still fails, on a system that does not fail every time.

Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002) on the
list of steps. A candidate counts as harmless only after as many tries without a failure as would show, with
99 %, one that fails as often as the original.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from invariants.sequence import Step

Fails = Callable[[Sequence[Step]], bool]
"""Runs the steps once, and tells whether they fail in the same way."""

MISSED = 0.01
"""The chance to take a candidate that fails as often as the original for harmless."""

MEASURED = 20
"""So many runs of the original measure how often it fails."""


def how_often(fails: Fails, steps: Sequence[Step], in_time: Callable[[], bool]) -> tuple[int, int]:
    """(failures, tries) of the same steps."""
    failures = tries = 0
    while tries < MEASURED and in_time():
        failures += fails(steps)
        tries += 1
    return failures, tries


def tries_needed(failures: int, tries: int) -> int:
    """So many runs without a failure mean that a sequence is harmless.

    The share is taken at its lower side ((failures) / (tries + 1)), since it was measured by few runs.
    """
    share = max(failures, 1) / (tries + 1)
    return 1 if failures == tries else max(1, math.ceil(math.log(MISSED) / math.log(1 - share)))


def shrink(
    steps: Sequence[Step], fails: Fails, tries: int, in_time: Callable[[], bool]
) -> tuple[tuple[Step, ...], bool]:
    """(the shortest found, whether there was time to be sure of it).

    Takes away steps, then puts what is left into one lane if it fails there too.
    """

    def fails_once(candidate: Sequence[Step]) -> bool:
        for _ in range(tries):
            if not in_time():
                return False
            if fails(candidate):
                return True
        return False

    shortest = _in_one_lane(_fewer(tuple(steps), fails_once, in_time), fails_once)
    return shortest, in_time()


def _fewer(
    steps: tuple[Step, ...], fails_once: Callable[[Sequence[Step]], bool], in_time: Callable[[], bool]
) -> tuple[Step, ...]:
    """No step can be taken away from what it gives: chunks of half the steps, then of fewer, down to one."""
    chunk = max(1, len(steps) // 2)
    while in_time():
        shorter = _without_one_chunk(steps, chunk, fails_once)
        if shorter is not None:
            steps = shorter
            chunk = max(1, min(chunk, len(steps) // 2))
        elif chunk == 1:
            return steps
        else:
            chunk //= 2
    return steps


def _without_one_chunk(
    steps: tuple[Step, ...], chunk: int, fails_once: Callable[[Sequence[Step]], bool]
) -> tuple[Step, ...] | None:
    # From the end: what comes after the failure is not needed, and goes first.
    ends = [*range(len(steps), 0, -chunk), 0]
    for end, start in pairwise(ends):
        candidate = steps[:start] + steps[end:]
        if candidate and fails_once(candidate):
            return candidate
    return None


def _in_one_lane(steps: tuple[Step, ...], fails_once: Callable[[Sequence[Step]], bool]) -> tuple[Step, ...]:
    if all(step.lane == 0 for step in steps):
        return steps
    alone = tuple(replace(step, lane=0) for step in steps)
    return alone if fails_once(alone) else steps
