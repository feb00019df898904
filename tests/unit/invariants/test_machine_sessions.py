"""Sessions are consistent: correct stores pass, planted defects get their names."""

from __future__ import annotations

import pytest

from invariants.samples.sessions import CORRECT, TWINS

from .searching import found, searched

NAME = "sessions_are_consistent"

ANOMALIES = {
    "own writes are not seen": {"read your writes"},
    "the replica answers 1 of 10": {"read your writes", "monotonic reads"},
    "reads go back": {"monotonic reads"},
}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_correct_store_on_a_lossy_way_upholds_it(concurrency: int) -> None:
    result = searched(NAME, CORRECT, concurrency=concurrency)
    assert result.outcome == "UPHELD"
    assert result.never_fired == ()


@pytest.mark.parametrize("twin", TWINS)
def test_each_planted_defect_is_found_and_made_short(twin: str) -> None:
    assert {each.violation.anomaly for each in found(NAME, TWINS[twin])} <= ANOMALIES[twin]


def test_a_replica_that_others_read_from_breaks_nothing_for_one_session_alone() -> None:
    assert searched(NAME, TWINS["reads go back"].make, concurrency=1).outcome == "UPHELD"
