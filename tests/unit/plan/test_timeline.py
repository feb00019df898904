"""The timeline tells every due moment once, in order, however late one asks."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.plan.documents import parse_plan, read_yaml
from chaos_locust.plan.model import Plan
from chaos_locust.plan.timeline import Timeline, Transition


def test_the_example_in_order(example: str) -> None:
    timeline = Timeline(parse_plan(read_yaml(example), {"SHOP_STATE": "/x"}))
    found = [(t.t_s, t.kind, t.name) for t in timeline.transitions(0, 1000)]
    assert found == [
        (0, "step_starts", "base"),
        (40, "fault_due", "slow-db"),
        (55, "fault_ends_due", "slow-db"),
        (60, "step_starts", "peak"),
        (90, "step_starts", "after"),
        (100, "fault_due", "kill-payments"),
        (120, "load_ends", ""),
    ]
    assert timeline.next_after(55) == Transition(60, "step_starts", "peak")
    assert timeline.next_after(120) is None


def test_at_one_instant_what_ends_comes_before_what_begins(
    plan: Callable[..., Plan], slow: dict[str, object]
) -> None:
    second = {**slow, "name": "again", "at": "60s", "for": "60s"}
    timeline = Timeline(plan(faults=[{**slow, "for": "20s"}, second]))
    assert [(t.kind, t.name) for t in timeline.transitions(60, 61)] == [
        ("fault_ends_due", "slow-db"),
        ("step_starts", "peak"),
        ("fault_due", "again"),
    ]
    assert [t.kind for t in timeline.transitions(120, 121)] == ["fault_ends_due", "load_ends"]


def test_a_fault_that_waits_is_not_on_it(plan: Callable[..., Plan], slow: dict[str, object]) -> None:
    waiting = {key: value for key, value in slow.items() if key != "at"} | {"when": "steady for 10s"}
    assert {t.kind for t in Timeline(plan(faults=[waiting])).transitions(0, 1000)} == {
        "step_starts",
        "load_ends",
    }


@given(st.lists(st.floats(0, 130), max_size=6))
def test_consecutive_questions_miss_and_repeat_nothing(cuts: list[float]) -> None:
    data = {"name": "x", "load": [{"step": f"s{i}", "rate": "1/s", "for": "17s"} for i in range(6)]}
    timeline = Timeline(parse_plan(data, {}))
    edges = [0.0, *sorted(cuts), 131.0]
    pieces = [t for since, until in itertools.pairwise(edges) for t in timeline.transitions(since, until)]
    assert pieces == timeline.transitions(0, 131)
    assert len(pieces) == 7
