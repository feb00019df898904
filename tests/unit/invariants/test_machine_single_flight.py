"""Single flight: what asks the origin twice for the same is found."""

from __future__ import annotations

import pytest

from invariants.samples.single_flight import CORRECT, LASTS, TWINS

from .searching import found, searched

NAME = "one_miss_one_fetch"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("concurrency", "lasts_s"), [(4, 0.0), (1, 60.0), (4, 60.0)])
def test_a_correct_cache_is_upheld(seed: int, concurrency: int, lasts_s: float) -> None:
    result = searched(NAME, CORRECT, seed, concurrency, iterations=50, lasts_s=lasts_s)
    assert result.outcome == "UPHELD"
    assert result.never_fired == ()


@pytest.mark.parametrize("twin", TWINS)
def test_each_planted_defect_is_found_and_made_short(twin: str) -> None:
    for each in found(NAME, TWINS[twin]):
        assert each.violation.anomaly == "stampede"
        assert [op.kind for op in each.violation.operations] == ["origin", "origin"]


def test_one_connection_alone_tells_nothing_of_what_is_under_way() -> None:
    result = searched(NAME, TWINS["each miss fetches"].make, concurrency=1)
    assert result.outcome == "INCONCLUSIVE"
    assert "wanted by two" in result.inconclusive


def test_what_is_not_said_to_last_may_be_fetched_again() -> None:
    make = TWINS["keeps nothing"].make
    assert not searched(NAME, make, concurrency=1).violations
    assert searched(NAME, make, concurrency=1, **LASTS).outcome == "DEVIATED"
