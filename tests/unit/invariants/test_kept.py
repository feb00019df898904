"""Sequences that failed once are kept and run first the next time."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from invariants import Step, fresh, rule
from invariants.kept import Kept, UnreadableKept

from .toys import Bag, BagKeeps, Client, Switches, invariant, loses


def test_what_was_found_is_run_first_the_next_time(tmp_path: Path) -> None:
    target = Bag(loses(random.Random(0), 1.0))
    first = invariant(target, seed=1).with_kept_in(tmp_path).verify()
    again = invariant(target, seed=2).with_kept_in(tmp_path).verify()
    assert again.iterations == 1
    assert again.violations[0].steps == first.violations[0].steps
    (line,) = (tmp_path / "bag_keeps.jsonl").read_text().splitlines()  # once, though it was found twice
    assert [step["rule"] for step in json.loads(line)] == ["add", "add", "add"]


def test_when_it_is_mended_the_search_goes_on_with_others(tmp_path: Path) -> None:
    invariant(Bag(loses(random.Random(0), 1.0))).with_kept_in(tmp_path).verify()
    mended = invariant(Bag()).with_kept_in(tmp_path).with_iterations(20).verify()
    assert (mended.outcome, mended.iterations) == ("UPHELD", 20)


def test_nothing_is_kept_where_nothing_was_found(tmp_path: Path) -> None:
    invariant(Bag()).with_kept_in(tmp_path / "kept").with_iterations(3).verify()
    assert not (tmp_path / "kept").exists()


def test_a_step_comes_back_as_it_was(tmp_path: Path) -> None:
    steps = (
        Step(0, "inject", {}, 0, "cut"),
        Step(3, "add", {"value": 3}, 2),
        Step(5, "heal", {}, 0, "cut"),
    )
    Kept(tmp_path).add(BagKeeps, [steps])
    assert Kept(tmp_path).read(BagKeeps, ["cut"]) == [steps]


def test_what_no_longer_fits_is_left_out(tmp_path: Path) -> None:
    @dataclass
    class Other(BagKeeps):
        @rule(number=fresh())
        def add(self, client: Client, number: int) -> None:
            client.add(number)

    kept = Kept(tmp_path)
    kept.add(
        BagKeeps,
        [
            (Step(0, "removed", {}),),
            (Step(0, "inject", {}, 0, "gone"), Step(1, "add", {"value": 1})),
            (Step(0, "add", {"value": 1}),),
        ],
    )
    assert kept.read(BagKeeps, []) == [(Step(0, "add", {"value": 1}),)]
    assert kept.read(Other, []) == []  # its rule takes something else now


def test_a_sequence_with_a_fault_waits_until_there_is_that_fault(tmp_path: Path) -> None:
    faults = Switches("a")

    def lose(kind: str, there: list[int]) -> None:
        if kind == "add" and "a" in faults.acting and there:
            there.clear()

    found = invariant(Bag(lose)).with_faults(faults).with_kept_in(tmp_path).verify()
    assert found.outcome == "DEVIATED"
    assert invariant(Bag(lose)).with_kept_in(tmp_path).with_iterations(5).verify().outcome == "UPHELD"
    again = invariant(Bag(lose)).with_faults(faults).with_kept_in(tmp_path).verify()
    assert (again.outcome, again.iterations) == ("DEVIATED", 1)


def test_a_file_that_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    Kept(tmp_path).add(BagKeeps, [(Step(0, "add", {"value": 1}),)])
    with (tmp_path / "bag_keeps.jsonl").open("a") as stream:
        stream.write("half of a li\n")
    with pytest.raises(UnreadableKept, match=r"bag_keeps\.jsonl, line 2: no sequence of steps"):
        invariant(Bag()).with_kept_in(tmp_path).verify()
