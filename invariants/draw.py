"""Sequences drawn by Hypothesis, apart from running them: a system that fails now and then, or is slow, never
meets Hypothesis's own rules for that (`Flaky`, deadlines, health checks)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from invariants.machine import Machine
from invariants.sequence import Step, sequences

AT_ONCE = 100
"""So many are drawn before the first of them is run."""


def drawn(
    machine: Machine, steps: int, lanes: int, faults: Sequence[str], seed_number: int
) -> Iterator[tuple[Step, ...]]:
    """Sequences without end; the same seed gives the same ones. Raises InvalidMachine."""
    strategy = sequences(machine, steps, lanes, faults)
    place = 0
    while True:
        yield from _some(strategy, seed_number * 1_000_003 + place)
        place += 1


def _some(strategy: SearchStrategy[tuple[Step, ...]], seed_number: int) -> list[tuple[Step, ...]]:
    found: list[tuple[Step, ...]] = []

    @seed(seed_number)
    @settings(
        max_examples=AT_ONCE,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(sequence: tuple[Step, ...]) -> None:
        found.append(sequence)

    # Hypothesis seeds the generator that everybody shares, and users of Locust or targets draw from it.
    state = random.getstate()
    try:
        collect()
    finally:
        random.setstate(state)
    # Hypothesis begins with the simplest, and goes on with slight changes of what it drew before; a search of
    # few sequences would see little else.
    distinct = _distinct(found)
    random.Random(seed_number).shuffle(distinct)
    return distinct


def _distinct(sequences: Sequence[tuple[Step, ...]]) -> list[tuple[Step, ...]]:
    return list({str([step.to_json() for step in steps]): steps for steps in sequences}.values())
