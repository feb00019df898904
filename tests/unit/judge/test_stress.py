from __future__ import annotations

from random import Random
from typing import Any

import pytest

from chaos_locust.judge.judge import judge
from chaos_locust.judge.verdict import Verdict
from tests.simulation.kinds import plan_of
from tests.simulation.world import World, fated, slow


def climb(breaks_at: int | None, at_least: int | None, objectives: list[Any] | None = None) -> Verdict:
    """10, 20, 30 and 40 requests a second, 20 s each."""
    stress = {"from": "10/s", "to": "40/s", "step": "10/s", "every": "20s"}
    if at_least is not None:
        stress["at_least"] = f"{at_least}/s"
    plan = plan_of(0, 0, objectives or ["p95 < 100ms during run"], load={"stress": stress})
    world = World(Random(1), 10, 20)
    world.duration_s = 80
    for i, level in enumerate((20, 30, 40), start=1):
        for j in range(level * 20):
            world.add(i * 20 + j / level)
    if breaks_at is not None:
        since_s = (breaks_at // 10 - 1) * 20
        world.spoil(since_s, 80, slow(1))
        world.spoil(since_s + 20, 80, fated("dropped"), 0.5)
    return judge(plan, world.recording(plan))


@pytest.mark.parametrize(
    ("breaks_at", "at_least", "level", "exit_code"),
    [
        (None, None, 40, 0),
        (30, None, 20, 0),
        (30, 20, 20, 0),
        (30, 30, 20, 3),
        (40, 20, 30, 0),
        (10, None, None, 3),
    ],
)
def test_breaking_is_sought_and_missing_the_least_level_is_a_failure(
    breaks_at: int | None, at_least: int | None, level: int | None, exit_code: int
) -> None:
    verdict = climb(breaks_at, at_least)
    assert (verdict.stress_level, verdict.exit_code) == (level, exit_code)


def test_a_level_that_was_never_reached_is_not_missed() -> None:
    """Too few samples all the way: it neither held nor broke."""
    verdict = climb(None, 20, ["p99.9 < 100ms during run"])
    assert (verdict.stress_level, verdict.exit_code) == (None, 4)
