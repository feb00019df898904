"""Transactions are atomic: correct stores pass, planted defects get their names."""

from __future__ import annotations

import random

import pytest

from invariants.machines.transactions import TransactionsAreAtomic
from invariants.samples.transactions import CORRECT, TWINS

from .searching import found, searched

NAME = "transactions_are_atomic"

ANOMALIES = {
    "half of a failed one stays, in 1 of 10": "half seen",
    "a failed one leaves traces": "traces",
    "each statement is seen alone": "half seen",
    "acknowledged and dropped, 1 of 10": "lost",
}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_correct_store_on_a_lossy_way_upholds_it(concurrency: int) -> None:
    result = searched(NAME, CORRECT, concurrency=concurrency)
    assert result.outcome == "UPHELD"
    assert result.never_fired == ()
    assert {outcome for _, _, outcome in result.code_paths_exercised} == {"ok", "fail", "info"}


@pytest.mark.parametrize("twin", TWINS)
def test_each_planted_defect_is_found_and_made_short(twin: str) -> None:
    assert {each.violation.anomaly for each in found(NAME, TWINS[twin])} == {ANOMALIES[twin]}


def test_a_reader_asks_for_what_another_lane_has_only_begun_to_write() -> None:
    class Reader:
        """A client whose transaction is read in its middle."""

        def transaction(self, values: dict[str, int]) -> None:
            self.seen = machine.read(self)

        def read(self, names: list[str]) -> dict[str, int | None]:
            return dict.fromkeys(names)

    machine, client = TransactionsAreAtomic(CORRECT(random.Random(0))), Reader()
    machine.transaction(client, {"a": 1, "b": 1})
    assert client.seen == {"a": None, "b": None}
