from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.measure.clock import estimate_offset

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
