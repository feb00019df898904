"""Arrivals are exactly as many as the rate says, at any cut, for any number of workers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_locust.plan.load import Load, Step
from chaos_locust.plan.schedule import Schedule
from chaos_locust.plan.steps import parse_load

levels = st.floats(0, 300).map(lambda level: round(level, 2)) | st.just(0.0)
stretches = st.tuples(levels, levels, st.floats(0.1, 30).map(lambda value: round(value, 3)))


@st.composite
def loads(draw: Callable[..., object], arrivals: str = "constant") -> Load:
    parts = draw(st.lists(stretches, min_size=1, max_size=5))
    starts = list(accumulate((part[2] for part in parts), initial=0.0))
    steps = tuple(
        Step(f"s{number}", starts[number], duration_s, start, end if number % 2 else start)
        for number, (start, end, duration_s) in enumerate(parts)
    )
    return Load("open", "steps", steps, arrivals=arrivals)


def integral(load: Load, since_s: float, until_s: float) -> float:
    """The rate's integral, worked out step by step and independently of the schedule."""
    total = 0.0
    for step in load.steps:
        low, high = max(since_s, step.starts_s), min(until_s, step.ends_s)
        if high > low:
            total += (high - low) * (step.level_at(low) + step.level_at(high)) / 2
    return total


fractions = st.floats(0, 1.1)


@given(loads(), fractions, fractions)
def test_any_interval_has_as_many_arrivals_as_the_integral_of_the_rate(
    load: Load, one: float, two: float
) -> None:
    since_s, until_s = sorted((one * load.duration_s, two * load.duration_s))
    found = list(Schedule(load, 1).due_times(since_s, until_s))
    assert abs(len(found) - integral(load, since_s, until_s)) <= 1 + 1e-6
    assert Schedule(load, 1).count(since_s, until_s) == len(found)


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
@given(data=st.data())
@settings(max_examples=60)
def test_pieces_put_together_are_the_whole(arrivals: str, data: st.DataObject) -> None:
    load = data.draw(loads(arrivals))
    cuts = sorted(data.draw(st.lists(st.floats(0, load.duration_s), max_size=5)))
    edges = [0.0, *cuts, load.duration_s + 1]
    whole = list(Schedule(load, 7).due_times(0.0, load.duration_s + 1))
    pieces = []
    for since_s, until_s in pairwise(edges):
        # a schedule of its own each time, as on a worker that joins late
        piece = list(Schedule(load, 7).due_times(since_s, until_s))
        assert Schedule(load, 7).count(since_s, until_s) == len(piece)
        assert all(since_s <= due_s < until_s for _, due_s in piece)
        pieces += piece
    assert pieces == whole
    assert [index for index, _ in whole] == list(range(len(whole)))
    assert [due_s for _, due_s in whole] == sorted(due_s for _, due_s in whole)
    assert all(0 <= due_s <= load.duration_s for _, due_s in whole)


@given(st.integers(0, 10**9), st.integers(1, 50))
def test_every_arrival_belongs_to_exactly_one_worker(index: int, workers: int) -> None:
    assert [Schedule.share(index, i, workers) for i in range(workers)].count(True) == 1


def test_a_constant_rate_is_exact_in_every_second_across_a_step() -> None:
    load = parse_load(
        [{"step": "a", "rate": "50/s", "for": "60s"}, {"step": "b", "rate": "100/s", "for": "30s"}]
    )
    schedule = Schedule(load, 1)
    assert [schedule.count(second, second + 1) for second in range(92)] == [50] * 60 + [100] * 30 + [0, 0]
    times = [due_s for _, due_s in schedule.due_times(10, 11)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == pytest.approx([0.02] * 49)


def test_a_ramp_follows_its_line() -> None:
    schedule = Schedule(parse_load({"ramp": {"from": "0/s", "to": "100/s", "for": "100s"}}), 1)
    assert schedule.count(0, 100) == 5000
    assert schedule.count(0, 10) == 50
    assert schedule.count(90, 100) == 950
    down = Schedule(parse_load({"ramp": {"from": "100/s", "to": "0/s", "for": "100s"}}), 1)
    assert down.count(0, 10) == 950


def poisson(seed: int, rate: str = "200/s", duration: str = "100s") -> list[tuple[int, float]]:
    load = parse_load({"soak": {"rate": rate, "for": duration}})
    changed = Load(load.workload, load.shape, load.steps, arrivals="poisson")
    return list(Schedule(changed, seed).due_times(0, 1000))


def test_poisson_arrivals_scatter_as_poisson_does() -> None:
    counts = [0] * 1000
    times = [due_s for _, due_s in poisson(3)]
    for due_s in times:
        counts[int(due_s * 10)] += 1
    mean = sum(counts) / len(counts)
    variance = sum((found - mean) ** 2 for found in counts) / (len(counts) - 1)
    assert mean == pytest.approx(20, rel=0.05)  # over four deviations of the mean of 1000 counts
    assert variance / mean == pytest.approx(1, abs=0.2)  # a constant rate has 0
    gaps = [later - earlier for earlier, later in pairwise(times)]
    longer = sum(gap > 1 / 200 for gap in gaps) / len(gaps)
    assert longer == pytest.approx(0.368, abs=0.02)  # exp(-1): also across the borders of blocks


def test_poisson_arrivals_depend_on_the_seed_alone() -> None:
    assert poisson(3) == poisson(3)
    assert poisson(3) != poisson(4)


def test_far_into_a_long_run_is_as_near_as_its_start() -> None:
    load = parse_load({"soak": {"rate": "500/s", "for": "8h"}})
    changed = Load(load.workload, load.shape, load.steps, arrivals="poisson")
    late = list(Schedule(changed, 1).due_times(28_000, 28_001))
    assert 350 < len(late) < 650
    assert abs(late[0][0] - 14_000_000) < 20_000  # five deviations of so many


def test_a_closed_workload_has_no_schedule() -> None:
    with pytest.raises(ValueError, match="closed workload has no schedule"):
        Schedule(parse_load({"soak": {"users": 5, "for": "10s"}}), 1)
