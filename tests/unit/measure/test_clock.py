from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.measure.clock import ClockError, estimate_offset

delays_s = st.floats(0, 2)


@given(st.floats(-1000, 1000), st.lists(st.tuples(st.floats(0, 1000), delays_s, delays_s), min_size=1))
def test_the_true_offset_lies_within_the_error(
    offset_s: float, trips: list[tuple[float, float, float]]
) -> None:
    samples = [(at, at + there + offset_s, at + there + back) for at, there, back in trips]
    estimated_s, error_s = estimate_offset(samples)
    assert abs(estimated_s - offset_s) <= error_s + 1e-9
    assert error_s <= min(there + back for _, there, back in trips) / 2 + 1e-9


def test_no_samples_and_clocks_set_back_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        estimate_offset([])
    with pytest.raises(ValueError, match="set back"):
        estimate_offset([(5.0, 5.0, 4.0)])


@given(
    st.floats(-1000, 1000),
    st.floats(0, 0.5),
    st.lists(st.tuples(st.floats(0, 1000), st.floats(-1, 1), delays_s, delays_s), min_size=1, max_size=8),
    st.floats(-100, 1100),
)
def test_the_error_holds_at_every_moment_for_a_clock_that_drifts(
    offset_s: float, error_s: float, trips: list[tuple[float, float, float, float]], t_s: float
) -> None:
    """The true offset wanders at most as fast as allowed; here along a line that turns at each sample."""
    drift, at_s, true_s = 0.001, 0.0, offset_s + error_s
    course = [(at_s, true_s)]
    clock = ClockError(offset_s, error_s, drift, origin_s=50.0, now_s=50.0)
    for sent_s, slope, there_s, back_s in sorted(trips):
        read_s = sent_s + there_s
        if read_s < at_s:
            continue
        true_s += slope * drift * (read_s - at_s)
        at_s = read_s
        course.append((at_s, true_s))
        clock.measure(50 + sent_s, 50 + read_s + true_s, 50 + read_s + back_s)
    true_then_s = true_at(course, t_s)
    assert abs(true_then_s - offset_s) <= clock.at(t_s) + 1e-9


def true_at(course: list[tuple[float, float]], t_s: float) -> float:
    """Between the moments of the course along the line, before and after it unchanged."""
    if t_s <= course[0][0]:
        return course[0][1]
    for (since_s, before_s), (until_s, after_s) in itertools.pairwise(course):
        if t_s <= until_s:
            return before_s + (after_s - before_s) * (t_s - since_s) / max(until_s - since_s, 1e-12)
    return course[-1][1]


def test_a_better_sample_makes_the_error_small_again() -> None:
    clock = ClockError(3.0, 0.1, 0.001, origin_s=0.0, now_s=0.0)
    assert clock.at(100) == pytest.approx(0.2)
    clock.measure(100.0, 103.001, 100.002)
    assert clock.at(100) == pytest.approx(0.001, abs=1e-5)
    clock.measure(110.0, 113.5, 111.0)  # tells less
    assert clock.at(110) == pytest.approx(0.011, abs=1e-5)
