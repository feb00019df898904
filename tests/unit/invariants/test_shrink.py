"""Short sequences on a system that fails now and then."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from invariants import Step
from invariants.shrink import how_often, shrink, tries_needed

from .toys import Bag, invariant, loses

STEPS = tuple(Step(number, "add", {"value": number}, number % 2) for number in range(20))


def always_in_time() -> bool:
    return True


def fails_with(needed: set[int], share: float, rng: random.Random) -> Callable[[Sequence[Step]], bool]:
    return lambda steps: needed <= {step.number for step in steps} and rng.random() < share


def shortest(needed: set[int], share: float, seed: int) -> tuple[Step, ...]:
    fails = fails_with(needed, share, random.Random(seed))
    tries = tries_needed(*how_often(fails, STEPS, always_in_time))
    steps, sure = shrink(STEPS, fails, tries, always_in_time)
    assert sure
    return steps


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_at_most_two_steps_too_many_in_18_of_20(size: int, share: float) -> None:
    close = 0
    for seed in range(20):
        needed = set(random.Random(seed).sample(range(20), size))
        steps = shortest(needed, share, seed)
        assert needed <= {step.number for step in steps}
        close += len(steps) <= size + 2
    assert close >= 18


def test_what_fails_every_time_becomes_exactly_what_is_needed() -> None:
    for seed in range(20):
        needed = set(random.Random(seed).sample(range(20), 3))
        assert {step.number for step in shortest(needed, 1.0, seed)} == needed


def test_lanes_are_kept_only_where_they_are_needed() -> None:
    needed = {3, 4}
    alone = shortest(needed, 1.0, 0)
    assert [step.lane for step in alone] == [0, 0]

    def fails(steps: Sequence[Step]) -> bool:
        return {(3, 1), (4, 0)} <= {(step.number, step.lane) for step in steps}

    apart, _ = shrink(STEPS, fails, 1, always_in_time)
    assert [step.lane for step in apart] == [1, 0]


def test_without_time_the_sequence_is_as_short_as_it_got_and_that_is_said() -> None:
    left = iter([True] * 6)
    steps, sure = shrink(STEPS, lambda steps: True, 1, lambda: next(left, False))
    assert not sure
    assert 1 < len(steps) < 20


def test_more_tries_are_needed_where_it_fails_seldom() -> None:
    assert tries_needed(20, 20) == 1
    assert tries_needed(10, 20) < tries_needed(2, 20) < tries_needed(0, 20)
    assert (1 - 2 / 21) ** tries_needed(2, 20) <= 0.01


def test_a_search_on_a_system_that_fails_in_1_of_10_ends_short() -> None:
    lengths = []
    for seed in range(20):
        target = Bag(loses(random.Random(seed), 0.1))
        result = invariant(target, seed=seed).with_budget("10min").verify()
        lengths.append(len(result.violations[0].steps))
    assert sum(length <= 3 + 2 for length in lengths) >= 18  # three elements, and the closing read
