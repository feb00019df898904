"""Caches: old values are found, and how old they were is told."""

from __future__ import annotations

import re

import pytest

from invariants.samples.cache import CORRECT, LATE_S, TWINS

from .searching import found, searched

NAME = "cache_stays_consistent"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("concurrency", "stale_s"), [(1, 0.0), (4, 0.0), (4, 1.0)])
def test_a_correct_cache_is_upheld(seed: int, concurrency: int, stale_s: float) -> None:
    result = searched(NAME, CORRECT, seed, concurrency, iterations=50, stale_s=stale_s)
    assert result.outcome == "UPHELD"
    assert result.never_fired == ()


@pytest.mark.parametrize("twin", TWINS)
def test_each_planted_defect_is_found_and_made_short(twin: str) -> None:
    assert {each.violation.anomaly for each in found(NAME, TWINS[twin])} == {"stale read"}


def test_the_length_of_the_window_is_told() -> None:
    late = TWINS["invalidates too late"]
    (shortest,) = searched(NAME, late.make, concurrency=1, stale_s=1.0).violations
    told = re.search(r"served ([\d.]+) s after it was overwritten \(1 s allowed\)", shortest.title)
    assert told
    assert 1.0 < float(told[1]) < LATE_S


def test_an_invalidation_may_be_as_late_as_is_allowed() -> None:
    late = TWINS["invalidates too late"]
    result = searched(NAME, late.make, stale_s=LATE_S)
    assert result.outcome == "UPHELD"
    assert "more than 5 s after" in result.statement


def test_a_race_takes_more_than_one_connection() -> None:
    race = TWINS["invalidates before it writes"]
    assert searched(NAME, race.make, concurrency=1).outcome == "UPHELD"
