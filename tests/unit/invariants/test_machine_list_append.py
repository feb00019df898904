"""Transactions are serializable: a serial database passes, weaker ones get the names of what they allow."""

from __future__ import annotations

import itertools
import random

import pytest

from invariants import StateInvariant
from invariants.checkers.list_append import MEANINGS
from invariants.draw import drawn
from invariants.machine import InvalidMachine
from invariants.machines.list_append import TransactionsAreSerializable
from invariants.samples.list_append import CORRECT, TWINS

from .searching import found, searched

NAME = "transactions_are_serializable"

ANOMALIES = {
    # What was overwritten is in no list any more, so the order of the others can look like anything.
    "snapshots that overwrite each other": set(MEANINGS) - {"G1a", "internal", "duplicate", "unwritten"},
    "read committed": {"lost update", "G2", "G-single"},
    "snapshots, with write skew": {"G2"},
    "refused and done, 1 of 10": {"G1a"},
}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_serial_database_on_a_lossy_way_upholds_it(concurrency: int) -> None:
    result = searched(NAME, CORRECT, concurrency=concurrency)
    assert result.outcome == "UPHELD"
    assert result.never_fired == ()


@pytest.mark.parametrize("twin", TWINS)
def test_each_planted_defect_is_found_and_made_short(twin: str) -> None:
    assert {each.violation.anomaly for each in found(NAME, TWINS[twin])} <= ANOMALIES[twin]


@pytest.mark.parametrize("seed", range(3))
def test_snapshots_show_write_skew_and_nothing_else(seed: int) -> None:
    make = TWINS["snapshots, with write skew"].make
    assert searched(NAME, make, seed, allowed=frozenset({"G2"})).outcome == "UPHELD"


def test_one_connection_alone_shows_no_anomaly_of_isolation() -> None:
    assert searched(NAME, TWINS["read committed"].make, concurrency=1).outcome == "UPHELD"


@pytest.mark.parametrize("seed", range(3))
def test_no_element_is_appended_twice(seed: int) -> None:
    machine = TransactionsAreSerializable(CORRECT(random.Random(0)))
    for sequence in itertools.islice(drawn(machine, 10, 1, (), seed), 50):
        steps = [each for step in sequence for each in step.arguments["value"]]
        elements = [element for kind, _, element in steps if kind == "append"]
        assert len(set(elements)) == len(elements)
        assert {key for _, key, _ in steps} <= {"x", "y"}


def test_what_is_allowed_has_to_be_known() -> None:
    invariant = StateInvariant.named(NAME, CORRECT(random.Random(0)), allowed=frozenset({"G3"}))
    with pytest.raises(InvalidMachine, match="'G3' is not known; known are G0, G1a"):
        invariant.with_kept_in(None).verify()


def test_the_statement_says_what_is_allowed() -> None:
    machine = TransactionsAreSerializable(CORRECT(random.Random(0)), allowed=frozenset({"G2", "G-single"}))
    assert machine.statement.endswith("in some order, but for G-single, G2.")
