"""Searches for the tests of machines: nothing is kept, and what happens by chance has a seed."""

from __future__ import annotations

import random
from typing import Any

from invariants.result import Found, Result
from invariants.samples.base import Make, Twin
from invariants.state_invariant import StateInvariant

SPARE_STEPS = 2


def searched(
    name: str, make: Make, seed: int = 0, concurrency: int = 4, iterations: int = 100, **options: Any
) -> Result:
    target = make(random.Random(seed))
    invariant = StateInvariant.named(name, target, **options).with_kept_in(None).with_seed(seed)
    # What is shown here must not hang on how busy the machine is.
    return invariant.with_budget("10min").with_concurrency(concurrency).with_iterations(iterations).verify()


def found(name: str, twin: Twin, seeds: range = range(2)) -> list[Found]:
    """One for each seed, for it is found each time; at least one of them is short enough."""
    results = [searched(name, twin.make, seed, twin.concurrency, **dict(twin.options)) for seed in seeds]
    violations = [violation for result in results for violation in result.violations]
    assert [result.outcome for result in results] == ["DEVIATED"] * len(seeds)
    assert min(len(violation.steps) for violation in violations) <= twin.known_minimum + SPARE_STEPS
    return violations
