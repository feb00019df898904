"""Macros stand for exactly these steps; the one-line form means the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.errors import InvalidPlan
from chaos_locust.plan.load import Load
from chaos_locust.plan.steps import load_to_json, parse_load, parse_load_option

SPIKE = {"base": "10/s", "peak": "100/s", "before": "10s", "for": "30s", "after": "20s"}


def shape(load: Load) -> list[tuple[str, float, float, float, float]]:
    """(name, start, end, from, to) of each step."""
    return [(step.name, step.starts_s, step.ends_s, step.start_level, step.end_level) for step in load.steps]


def test_macros_stand_for_steps() -> None:
    assert shape(parse_load({"ramp": {"from": "10/s", "to": "100/s", "for": "60s"}})) == [
        ("ramp", 0, 60, 10, 100)
    ]
    assert shape(parse_load({"soak": {"users": 5, "for": "8h"}})) == [("soak", 0, 28800, 5, 5)]
    assert shape(parse_load({"spike": SPIKE})) == [
        ("base", 0, 10, 10, 10),
        ("peak", 10, 40, 100, 100),
        ("after", 40, 60, 10, 10),
    ]
    twice = parse_load({"step": "x", "spike": {**SPIKE, "times": 2}})
    assert [name for name, *_ in shape(twice)] == ["x-base", "x-peak-1", "x-after-1", "x-peak-2", "x-after-2"]
    stress = parse_load(
        {"stress": {"from": "10/s", "to": "35/s", "step": "10/s", "every": "10s", "at_least": "20/s"}}
    )
    assert shape(stress) == [
        ("stress-1", 0, 10, 10, 10),
        ("stress-2", 10, 20, 20, 20),
        ("stress-3", 20, 30, 30, 30),
    ]
    assert (stress.shape, stress.at_least, stress.workload) == ("stress", 20.0, "open")


def test_a_list_joins_steps_and_macros_without_gaps() -> None:
    load = parse_load(
        [
            {"step": "base", "rate": "50/s", "for": "0.1s"},
            {"step": "up", "ramp": {"from": "50/s", "to": "100/s", "for": "0.2s"}},
            {"step": "down", "rate": "100/s to 0/s", "for": "0.3s"},
        ]
    )
    assert load.shape == "steps"
    assert [later.starts_s for later in load.steps[1:]] == [step.ends_s for step in load.steps[:-1]]
    assert [(step.start_level, step.end_level) for step in load.steps] == [(50, 50), (50, 100), (100, 0)]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("spike base=10/s peak=100/s before=10s for=30s after=20s", {"spike": SPIKE}),
        ("ramp from=10/s to=100/s for=60s", {"ramp": {"from": "10/s", "to": "100/s", "for": "60s"}}),
        ("soak users=5 for=8h", {"soak": {"users": 5, "for": "8h"}}),
        (
            "steps base=50/s:60s peak=100/s..200/s:30s",
            [
                {"step": "base", "rate": "50/s", "for": "60s"},
                {"step": "peak", "rate": "100/s to 200/s", "for": "30s"},
            ],
        ),
        (
            "steps few=5:10s more=5..10:3s",
            [{"step": "few", "users": 5, "for": "10s"}, {"step": "more", "users": "5 to 10", "for": "3s"}],
        ),
    ],
)
def test_one_line_means_the_same_as_its_document(text: str, data: Any) -> None:
    assert parse_load_option(text) == parse_load(data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"rampp": {}}, "load.rampp: 'rampp' is no key here; did you mean ramp?"),
        ({"ramp": {"from": "10/s", "to": 5, "for": "3s"}}, "load.ramp: mixes rates and users"),
        (
            {"ramp": {"frm": "1/s", "to": "2/s", "for": "3s"}},
            "load.ramp.frm: 'frm' is no key here; did you mean from?",
        ),
        ({"ramp": None}, "load.ramp: 'None' is not a mapping"),
        ({"ramp": {}, "for": "3s"}, "load.for: 'for' does not go beside ramp"),
        ({"spike": {**SPIKE, "times": 0}}, "load.spike.times: '0' is not allowed"),
        (
            {"stress": {"from": "9/s", "to": "1/s", "step": "1/s", "every": "9s"}},
            "load.stress.to: is below from",
        ),
        (
            {"stress": {"from": "1/s", "to": "9/s", "step": "0/s", "every": "9s"}},
            "load.stress.step: '0' is not",
        ),
        (
            {"stress": {"from": "1/s", "to": "99999/s", "step": "1/s", "every": "9s"}},
            "load.stress.step: makes 99999 steps; at most 10000",
        ),
        (
            [{"step": "a", "rate": 50, "for": "3s"}],
            "load[0].rate: '50' is not allowed; give a rate, such as 50/s",
        ),
        (
            [{"step": "a", "users": "5/s", "for": "3s"}],
            "load[0].users: '5/s' is not allowed; give a whole number",
        ),
        ([{"step": "a", "rate": "5/s", "users": 5, "for": "3s"}], "load[0]: give either rate:"),
        ([{"step": "a", "for": "3s"}], "load[0]: give either rate:"),
        ([{"step": "a", "rate": "0/s", "for": "3s"}], "load: is zero everywhere"),
        ([{"step": "a", "rate": "5/s", "for": "0s"}], "load[0].for: '0' is not allowed; give more than zero"),
        (
            [{"step": "a", "rate": "5/s", "for": "3s"}, {"step": "b", "users": 5, "for": "3s"}],
            "load[1]: gives users where load[0] gives rates; the two cannot be mixed",
        ),
        ("ramp", "load: is no load; give a list of steps, or one of ramp, spike, soak, stress"),
        ([], "load: is no load"),
    ],
)
def test_mistakes_have_places(data: Any, told: str) -> None:
    with pytest.raises(InvalidPlan) as caught:
        parse_load(data)
    assert any(line.startswith(told) for line in str(caught.value).splitlines()), str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "load: '' is no shape; allowed: ramp, spike, soak, stress, steps"),
        ("spik a=b", "load: 'spik' is no shape; did you mean spike?"),
        ("ramp from", "load: 'from' is not of the form NAME=VALUE"),
        ("ramp from=1/s from=2/s", "load: 'from=2/s' is given twice"),
        ("steps a=50/s", "load: 'a=50/s' is not of the form NAME=LEVEL:DURATION"),
        ("ramp from=1/s to=2/s for=60", "load.ramp.for: '60' is a bare number"),
    ],
)
def test_mistakes_in_one_line(text: str, told: str) -> None:
    with pytest.raises(InvalidPlan) as caught:
        parse_load_option(text)
    assert str(caught.value).startswith(told)


steps = st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 10**6))


@given(st.lists(steps, min_size=1, max_size=6), st.booleans(), st.booleans())
def test_a_load_reads_back_as_it_was(parts: list[tuple[int, int, int]], users: bool, ramps: bool) -> None:
    items = []
    for number, (start, end, duration_ms) in enumerate(parts):
        low, high = (start, end) if users else (f"{start / 8:.3f}/s", f"{end / 8:.3f}/s")
        level = f"{low} to {high}" if ramps else low
        items.append({"step": f"s{number}", "users" if users else "rate": level, "for": f"{duration_ms}ms"})
    if all(start == 0 and (end == 0 or not ramps) for start, end, _ in parts):
        return
    load = parse_load(items)
    assert parse_load(load_to_json(load)) == load
