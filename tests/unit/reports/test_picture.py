"""The picture: columns that lose no spike, round axes, bounds and faults where they belong."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from chaos_locust.events import Recording
from chaos_locust.judge.verdict import Verdict
from chaos_locust.measure.histogram import NS, Layout
from chaos_locust.measure.window import ARRIVALS, Window
from chaos_locust.plan.model import Plan
from chaos_locust.reports.columns import columns_of
from chaos_locust.reports.picture import picture_of
from chaos_locust.reports.scale import Linear, decades, round_up, time_ticks

Run = tuple[Verdict, Recording]
LAYOUT = Layout()


def window(count: int, latency_s: float, *, failed: int = 0) -> Window:
    made = Window(LAYOUT)
    for _ in range(count):
        made.send(0.0)
        made.answer(0.0, 0, round(latency_s * NS), None)
    for _ in range(failed):
        made.send(0.0)
        made.answer(0.0, 0, NS, "HTTP 500")
    return made


def long_recording(run: Run, seconds: int, names: int = 1) -> Recording:
    calm = window(10, 0.02)
    windows = {(s, f"GET /{n}"): calm for s in range(seconds) for n in range(names)}
    return replace(run[1], windows=windows)


# -- columns --------------------------------------------------------------------------------------------


def test_eight_hours_become_600_columns_and_no_spike_is_lost(run: Run) -> None:
    recording = long_recording(run, 28_800)
    windows = {**recording.windows, (12_345, "GET /0"): window(9, 3.0, failed=1)}
    columns = columns_of(replace(recording, windows=windows))
    assert len(columns) <= 600
    assert columns[-1].starts_s + columns[-1].width_s == 28_800
    [hit] = [c for c in columns if c.starts_s <= 12_345 < c.starts_s + c.width_s]
    assert hit.p50_s == pytest.approx(3.0, rel=0.01)
    assert hit.errors == {"HTTP 500": 1}
    assert hit.completed == 9
    assert all(c.p50_s == pytest.approx(0.02, rel=0.01) for c in columns if c is not hit)


def test_failures_and_what_was_never_sent_make_percentiles_infinite(run: Run) -> None:
    arrivals = window(98, 0.01)
    for _ in range(100):
        arrivals.offer(0.0)
    for _ in range(2):
        arrivals.drop(0.0)
    good, bad = window(98, 0.01), window(94, 0.01, failed=6)
    windows = {(0, "GET /"): good, (0, ARRIVALS): arrivals, (2, "GET /"): bad}
    first, gap, last = columns_of(replace(run[1], windows=windows))
    assert (first.offered, first.completed, first.never) == (100, 98, 2)
    assert first.p95_s == pytest.approx(0.01, rel=0.01)
    assert first.p99_s == math.inf
    assert last.p95_s == math.inf
    assert (gap.p50_s, gap.offered) == (None, 0)


def test_no_window_no_columns(run: Run) -> None:
    assert columns_of(replace(run[1], windows={})) == []


# -- the axis -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "up"), [(0, 1), (1, 1), (101, 120), (0.023, 0.03), (100, 100)])
def test_round_up(value: float, up: float) -> None:
    assert round_up(value) == pytest.approx(up)


@pytest.mark.parametrize(("least", "most"), [(0.012, 0.9), (1e-5, 30.0), (0.05, 0.06), (0.1, 0.1)])
def test_an_axis_by_decades_holds_its_values_and_has_ticks(least: float, most: float) -> None:
    low, high, ticks = decades(least, most)
    assert low <= least * 1.0001
    assert high >= most * 0.9999
    assert 2 <= len(ticks) <= 12
    assert all(low * 0.999 <= tick <= high * 1.001 for tick in ticks)


@pytest.mark.parametrize("length_s", [1.0, 59.0, 140.0, 3600.0, 28_800.0, 259_200.0])
def test_time_ticks_are_few_and_even(length_s: float) -> None:
    ticks = time_ticks(length_s)
    assert ticks[0] == 0
    assert ticks[-1] <= length_s
    assert len(ticks) <= 13


# -- the picture ----------------------------------------------------------------------------------------


def test_each_latency_bound_is_drawn_across_its_phase_only(run: Run) -> None:
    verdict, recording = run
    plan = Plan.from_json(recording.header.plan)
    picture = picture_of(plan, verdict, recording, columns_of(recording))
    x = Linear(0.0, picture.length_s, picture.left, picture.right)
    phases = {p.label: p for p in verdict.phases if p.kind in ("baseline", "fault")}
    drawn = {line.label: line for line in picture.bounds}
    assert set(drawn) == {"p99 < 100 ms", "p95 < 300 ms"}
    for label, phase, broken in (("p99 < 100 ms", "baseline", False), ("p95 < 300 ms", "slow-db", True)):
        assert drawn[label].x1 == pytest.approx(x(phases[phase].starts_s))
        assert drawn[label].x2 == pytest.approx(x(phases[phase].ends_s))
        assert drawn[label].broken is broken


def test_a_fault_is_hatched_until_confirmed_and_solid_while_active(run: Run) -> None:
    verdict, recording = run
    picture = picture_of(Plan.from_json(recording.header.plan), verdict, recording, columns_of(recording))
    x = Linear(0.0, picture.length_s, picture.left, picture.right)
    slow, kill = picture.faults.rows
    assert [b.kind for b in slow.blocks] == ["unsure", "active", "unsure"]
    assert slow.blocks[1].x == pytest.approx(x(40.21))
    assert slow.blocks[1].x + slow.blocks[1].width == pytest.approx(x(55.0))
    assert [b.kind for b in kill.blocks] == ["unsure", "instant"]
    assert len(slow.effects) == 2
    assert slow.recovery is not None
    low, high = verdict.faults[0].recovery or (0, 0)
    assert slow.recovery == pytest.approx((x(55.09), x(55.09 + low), x(55.09 + high)))


def test_a_fault_that_could_not_be_undone_is_drawn_to_the_end(run: Run) -> None:
    verdict, recording = run
    dirty = replace(verdict.faults[0], state="dirty", reverted_s=None, recovery=None)
    plan = Plan.from_json(recording.header.plan)
    picture = picture_of(plan, replace(verdict, faults=(dirty,)), recording, columns_of(recording))
    last = picture.faults.rows[0].blocks[-1]
    assert last.kind == "dirty"
    assert last.x + last.width == pytest.approx(picture.right)


def test_errors_are_stacked_by_kind_with_the_unanswered_among_them(run: Run) -> None:
    verdict, recording = run
    picture = picture_of(Plan.from_json(recording.header.plan), verdict, recording, columns_of(recording))
    totals = {kind.label: int(kind.total) for kind in picture.kinds}
    assert totals == {**verdict.totals.errors, "unanswered": verdict.totals.unanswered}
