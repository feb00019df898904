"""Elements never disappear: correct sets pass, planted defects get their names."""

from __future__ import annotations

import random

import pytest

from invariants import StateInvariant, Step
from invariants.samples.base import VirtualTime
from invariants.samples.elements import CORRECT, TWINS, Elements
from invariants.samples.in_process import InProcess

from .searching import found, searched

NAME = "elements_never_disappear"


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_correct_set_on_a_lossy_way_upholds_it(concurrency: int) -> None:
    result = searched(NAME, CORRECT, concurrency=concurrency)
    assert result.outcome == "UPHELD"
    assert result.never_fired == ()


@pytest.mark.parametrize("twin", TWINS)
def test_each_planted_defect_is_found_and_made_short(twin: str) -> None:
    assert {each.violation.anomaly for each in found(NAME, TWINS[twin])} <= {"lost", "stale"}


class Late(InProcess):
    """Elements are seen one second after they were added."""

    def __init__(self) -> None:
        self._time = VirtualTime()
        super().__init__(lambda: LateElements(self._time))

    def clock(self) -> float:
        self._time.sleep(0.001)  # each look takes its time
        return self._time.clock()

    def sleep(self, seconds: float) -> None:
        self._time.sleep(seconds)


class LateElements(Elements):
    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time, self._since_s = time, dict[int, float]()

    def add(self, element: int) -> None:
        super().add(element)
        self._since_s[element] = self._time.clock()

    def read(self) -> list[int]:
        return [each for each in super().read() if self._time.clock() >= self._since_s[each] + 1]


@pytest.mark.parametrize(("stale_s", "outcome"), [(0.5, "DEVIATED"), (2.0, "UPHELD")])
def test_so_late_as_is_allowed_is_not_lost(stale_s: float, outcome: str) -> None:
    invariant = StateInvariant.named(NAME, Late(), stale_s=stale_s).with_kept_in(None).with_seed(1)
    assert invariant.with_iterations(5).verify().outcome == outcome


def test_the_last_read_comes_when_all_must_be_seen() -> None:
    invariant = StateInvariant.named(NAME, Late(), stale_s=0.5).with_kept_in(None)
    assert invariant.replay([Step(0, "add", {"value": 1})], tries=3).failed == 3


def test_the_statement_says_how_late() -> None:
    target = CORRECT(random.Random(0))
    late = StateInvariant.named(NAME, target, stale_s=1.5).with_kept_in(None).with_iterations(1)
    assert "starts more than 1.5 s later" in late.verify().statement
