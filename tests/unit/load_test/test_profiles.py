"""Profiles become loads with exactly the rates and times that were asked for."""

from __future__ import annotations

import pytest

from chaos_locust.errors import InvalidPlan
from chaos_locust.load_test.profiles import Kind, Profile
from chaos_locust.plan.steps import parse_load


@pytest.mark.parametrize(
    ("profile", "steps"),
    [
        (Profile(Kind.RAMP_UP, 1000, 10, 300), [("ramp", 10, 1000, 300)]),
        (Profile(Kind.RAMP_UP, 100), [("ramp", 10, 100, 60)]),
        (
            Profile(Kind.SPIKE, 5000, 10, 60),
            [("base", 10, 10, 10), ("peak", 5000, 5000, 30), ("after", 10, 10, 30)],
        ),
        (Profile(Kind.SOAK, 500), [("soak", 500, 500, 28800)]),
    ],
)
def test_steps(profile: Profile, steps: list[tuple[str, float, float, float]]) -> None:
    found = parse_load(profile.load()).steps
    assert [(each.name, each.start_level, each.end_level, each.duration_s) for each in found] == steps


@pytest.mark.parametrize(("lasts_s", "levels"), [(300, 10), (60, 10), (20, 4), (10, 2)])
def test_stress_goes_up_in_equal_steps_to_the_peak(lasts_s: float, levels: int) -> None:
    load = parse_load(Profile(Kind.STRESS, 10_000, 10, lasts_s).load())
    assert load.shape == "stress"
    assert len(load.steps) == levels
    assert load.duration_s == pytest.approx(lasts_s)
    assert load.steps[0].start_level == 10
    assert load.steps[-1].end_level == pytest.approx(10_000)


@pytest.mark.parametrize(
    ("profile", "place", "told"),
    [
        (Profile(Kind.RAMP_UP, -5), "peak_rps", "'-5' is not allowed"),
        (Profile(Kind.RAMP_UP, float("inf")), "peak_rps", "'inf' is not allowed"),
        (Profile(Kind.RAMP_UP, 5), "peak_rps", "'5' is not above initial_rps (10)"),
        (Profile(Kind.SPIKE, 50, 0), "initial_rps", "'0' is not allowed"),
        (Profile(Kind.SOAK, 50, 10), "initial_rps", "has no effect"),
        (Profile(Kind.SOAK, 50, None, 0), "duration", "'0' is not allowed"),
        (Profile(Kind.STRESS, 50, None, 9), "duration", "too short for two steps"),
    ],
)
def test_mistakes(profile: Profile, place: str, told: str) -> None:
    with pytest.raises(InvalidPlan) as raised:
        profile.load()
    (problem,) = raised.value.problems
    assert problem.place == place
    assert told in str(problem)
