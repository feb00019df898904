"""Sequences: the same seed gives the same ones, and they are what the machine allows."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import strategies as st

from invariants import Machine, Step, fresh, of_target, rule
from invariants.checkers.elements import SetFull
from invariants.draw import AT_ONCE, drawn
from invariants.machine import InvalidMachine

Sequence = tuple[Step, ...]


@dataclass
class Shelf(Machine):
    name = "shelf"
    checker = SetFull()

    @rule(weight=4, key=st.sampled_from(["x", "y"]), value=fresh())
    def put(self, client: Any, key: str, value: int) -> None: ...

    @rule(value=fresh(lambda number: st.integers(10 * number, 10 * number + 9)))
    def take(self, client: Any, value: int) -> None: ...

    @rule(value=of_target(lambda target: st.sampled_from(target)))
    def label(self, client: Any, value: str) -> None: ...

    @rule(weight=2, closing=True)
    def look(self, client: Any) -> None: ...

    @rule(closing=True)
    def sweep(self, client: Any) -> None: ...


def some(seed: int, count: int = 50, lanes: int = 1, faults: tuple[str, ...] = ()) -> list[Sequence]:
    shelf = Shelf(target=["red", "blue"])
    return list(itertools.islice(drawn(shelf, 10, lanes, faults, seed), count))


def test_the_same_seed_gives_the_same_sequences() -> None:
    assert some(7, AT_ONCE + 5, 4, ("a",)) == some(7, AT_ONCE + 5, 4, ("a",))
    assert some(7) != some(8)


def test_they_do_not_repeat_after_the_first_lot() -> None:
    both = some(3, 2 * AT_ONCE)
    assert both[:AT_ONCE] != both[AT_ONCE:]


def test_the_random_that_everybody_shares_goes_on_as_it_was() -> None:
    random.seed(5)
    expected = [random.random() for _ in range(3)]
    random.seed(5)
    first = random.random()
    some(1)
    assert [first, random.random(), random.random()] == expected


def test_each_has_so_many_steps_with_numbers_of_their_own() -> None:
    for sequence in some(0):
        assert [step.number for step in sequence] == list(range(10))


def test_arguments_are_what_the_rule_says() -> None:
    steps = [step for sequence in some(0) for step in sequence]
    assert all(step.arguments["value"] == step.number for step in steps if step.rule == "put")
    assert all(step.arguments["value"] // 10 == step.number for step in steps if step.rule == "take")
    assert {step.arguments["value"] for step in steps if step.rule == "label"} == {"red", "blue"}


def test_a_rule_is_drawn_by_its_weight_and_a_closing_one_only_with_a_weight() -> None:
    counts = dict.fromkeys(Shelf.rules(), 0)
    for step in (step for sequence in some(0, 200) for step in sequence):
        counts[step.rule] += 1
    assert counts["sweep"] == 0
    assert counts["put"] > counts["look"] > 0
    assert counts["label"] > 0


def test_steps_are_spread_over_the_lanes() -> None:
    assert {step.lane for sequence in some(0, lanes=3) for step in sequence} == {0, 1, 2}
    assert {step.lane for sequence in some(0) for step in sequence} == {0}


def test_a_fault_is_healed_only_where_it_acts() -> None:
    changes = 0
    for sequence in some(0, 200, 2, ("a", "b")):
        acting = set()
        for step in sequence:
            if step.fault:
                assert step.rule == ("heal" if step.fault in acting else "inject")
                acting ^= {step.fault}
                changes += 1
    assert changes > 100


def test_a_closing_rule_with_arguments_is_refused() -> None:
    with pytest.raises(InvalidMachine, match="rule look is closing"):
        rule(closing=True, value=fresh())(look)


def look(self: Any, client: Any, value: int) -> None: ...
