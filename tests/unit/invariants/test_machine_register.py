"""Registers are linearizable: correct ones pass, planted defects are found."""

from __future__ import annotations

import pytest

from invariants import StateInvariant, Step
from invariants.samples.in_process import InProcess
from invariants.samples.register import CORRECT, TWINS, Registers

from .searching import found, searched

NAME = "registers_are_linearizable"


@pytest.mark.parametrize("concurrency", [1, 4])
def test_correct_registers_on_a_lossy_way_uphold_it(concurrency: int) -> None:
    result = searched(NAME, CORRECT, concurrency=concurrency)
    assert result.outcome == "UPHELD"
    assert result.never_fired == ()
    assert {rule for _, rule, outcome in result.code_paths_exercised if outcome == "ok"} == {
        "read",
        "write",
        "cas",
    }


@pytest.mark.parametrize("twin", TWINS)
def test_each_planted_defect_is_found_and_made_short(twin: str) -> None:
    assert {each.violation.checker for each in found(NAME, TWINS[twin])} == {"linearizable"}


def test_a_cas_that_finds_another_value_did_not_happen() -> None:
    class Swapped(Registers):
        """Says no and sets it."""

        def cas(self, key: str, old: int | None, new: int) -> bool:
            self.write(key, new)
            return False

    invariant = StateInvariant.named(NAME, InProcess(Swapped)).with_kept_in(None)
    refused = Step(0, "cas", {"key": "x", "value": [3, 4]})
    assert invariant.replay([refused, Step(1, "write", {"key": "x", "value": 1})], tries=1).failed == 0
    assert invariant.replay([refused, Step(1, "read", {"key": "x"})], tries=1).failed == 1
