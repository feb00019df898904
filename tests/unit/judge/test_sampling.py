from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.judge.sampling import interval, margin
from chaos_locust.measure.binomial import surely_above, tail
from chaos_locust.plan.samples import samples_floor


@pytest.mark.parametrize(("limit", "floor"), [(0.05, 59), (0.01, 299), (0.001, 2995), (0.5, 5), (0.0, 2995)])
def test_floors_are_those_of_the_specification(limit: float, floor: int) -> None:
    assert samples_floor(limit) == floor


def test_a_strict_limit_above_half_needs_as_many_as_its_complement() -> None:
    assert samples_floor(0.95) == samples_floor(0.05)


@given(st.integers(1, 60), st.floats(0.001, 0.999), st.integers(0, 60))
def test_tail_is_the_binomial_sum(n: int, share: float, k: int) -> None:
    exact = sum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k, n + 1))
    assert tail(k, n, share) == pytest.approx(exact, abs=1e-9)


def test_twenty_time_outs_of_twenty_are_surely_too_many() -> None:
    assert surely_above(20, 20, 0.05)
    assert not surely_above(1, 20, 0.05)
    assert surely_above(4, 20, 0.05)
    assert not surely_above(4, 20, 0.05, looks=100)


def test_batches_that_scatter_widen_the_interval() -> None:
    even = interval([(5, 100)] * 30)
    bursts = interval([(75, 100), (75, 100)] + [(0, 100)] * 28)
    assert even is not None
    assert bursts is not None
    assert not even[2]
    assert bursts[2]
    assert bursts[1] - bursts[0] > 3 * (even[1] - even[0])


def test_margins() -> None:
    assert margin([(1, 100)] * 30, 0.05) == ("clear", False)
    assert margin([(5, 100)] * 30, 0.055) == ("thin", False)
    assert margin([], 0.05) is None
