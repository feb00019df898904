from __future__ import annotations

import math

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.measure.histogram import Histogram, Layout, bucket_of, lower_edge

HOUR_NS = 3_600_000_000_000
values_ns = st.integers(0, HOUR_NS) | st.integers(0, 5_000) | st.integers(9_900_000, 10_100_000)
many_ns = st.lists(values_ns, min_size=1, max_size=200)
edges_ns = st.lists(values_ns, max_size=6).map(lambda edges: Layout(tuple(edges)))


def filled(layout: Layout, values: list[int]) -> Histogram:
    histogram = Histogram(layout)
    for value in values:
        histogram.add(value)
    return histogram


@given(values_ns)
def test_a_bucket_holds_its_value_and_is_at_most_a_percent_wide(value: int) -> None:
    lower, upper = lower_edge(bucket_of(value)), lower_edge(bucket_of(value) + 1)
    assert lower <= value < upper
    assert upper - lower <= max(1, 0.01 * lower)


@given(many_ns, edges_ns)
def test_counts_at_the_edges_of_the_layout_are_exact(values: list[int], layout: Layout) -> None:
    histogram = filled(layout, values)
    for edge in layout.edges_ns:
        exact = sum(value >= edge for value in values)
        assert histogram.count_at_or_above(edge) == (exact, exact)


@given(many_ns, edges_ns, values_ns)
def test_counts_anywhere_else_lie_within_what_is_said(values: list[int], layout: Layout, at: int) -> None:
    least, most = filled(layout, values).count_at_or_above(at)
    assert least <= sum(value >= at for value in values) <= most


@given(many_ns, edges_ns, st.floats(0.001, 1))
def test_a_quantile_is_exact_within_a_percent(values: list[int], layout: Layout, q: float) -> None:
    exact = sorted(values)[max(1, math.ceil(q * len(values) - 1e-9)) - 1]
    histogram = filled(layout, values)
    quantile = histogram.quantile(q)
    cell = histogram.quantile_edges(q)
    assert quantile is not None
    assert cell is not None
    assert cell[0] <= exact < cell[1]
    assert exact <= round(quantile * 1e9) <= exact * 1.01


@given(many_ns, st.sampled_from([0.5, 0.9, 0.99]))
def test_quantiles_agree_with_hdr_histogram(values: list[int], q: float) -> None:
    rank = max(1, int(q * len(values) + 0.5))  # HdrHistogram rounds the rank, ours is rounded up
    ours = filled(Layout(), values).quantile(rank / len(values))
    theirs = HdrHistogram(1, HOUR_NS, 3)
    for value in values:
        theirs.record_value(max(1, value))
    assert ours is not None
    assert ours * 1e9 == pytest.approx(theirs.get_value_at_percentile(q * 100), rel=0.011, abs=2)


@given(many_ns, edges_ns)
def test_a_quantile_never_contradicts_the_count_at_a_bound(values: list[int], layout: Layout) -> None:
    histogram = filled(layout, values)
    for edge in layout.edges_ns:
        slow, _ = histogram.count_at_or_above(edge)
        p90 = histogram.quantile(0.9)
        assert p90 is not None
        assert (round(p90 * 1e9) < edge) == (slow <= len(values) - math.ceil(0.9 * len(values) - 1e-9))


@given(many_ns, many_ns, edges_ns)
def test_merging_equals_recording_both(one: list[int], two: list[int], layout: Layout) -> None:
    merged = filled(layout, one)
    merged.merge(filled(layout, two))
    assert merged == filled(layout, one + two)
    assert merged.mean_s == pytest.approx(sum(one + two) / len(one + two) / 1e9)
    assert merged.max_s == max(one + two) / 1e9


@given(st.lists(values_ns, max_size=100), edges_ns)
def test_what_is_encoded_is_decoded(values: list[int], layout: Layout) -> None:
    histogram = filled(layout, values)
    assert Histogram.decode(histogram.encode(), layout) == histogram


def test_counting_often_is_counting_once_each() -> None:
    often, once = Histogram(Layout((1_000_001,))), Histogram(Layout((1_000_001,)))
    often.add(1_000_003, 3)
    for _ in range(3):
        once.add(1_000_003)
    assert often == once


def test_a_negative_value_counts_as_zero_and_nothing_has_no_quantile() -> None:
    histogram = Histogram(Layout())
    assert (histogram.quantile(0.5), histogram.max_s, histogram.mean_s) == (None, None, None)
    histogram.add(-5)
    assert histogram.quantile(0.5) == 0


def test_other_layouts_and_damaged_texts_are_refused() -> None:
    histogram = filled(Layout((5,)), [7, 300, 70_000])
    with pytest.raises(ValueError, match="different layouts"):
        histogram.merge(Histogram(Layout()))
    with pytest.raises(ValueError, match="layout"):
        Histogram.decode(histogram.encode(), Layout())
    with pytest.raises(ValueError, match="cut off"):
        Histogram.decode("gICA", Layout())
    with pytest.raises(ValueError, match="negative"):
        Layout((-1,))
