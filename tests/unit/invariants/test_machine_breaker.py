"""Breakers: those that try again are upheld, those that stay open are found."""

from __future__ import annotations

import random

import pytest

from invariants.machine import NoAnswer
from invariants.samples.base import VirtualTime
from invariants.samples.breaker import CORRECT, TWINS, Breaker, Circuit
from invariants.targets.base import Target

from .searching import found, searched

NAME = "circuit_breaker_never_stuck_open"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_correct_breaker_is_upheld(seed: int, concurrency: int) -> None:
    result = searched(NAME, CORRECT, seed, concurrency)
    assert result.outcome == "UPHELD"
    assert result.never_fired == ()
    assert result.seen["recoveries"] > 0


@pytest.mark.parametrize("twin", TWINS)
def test_each_planted_defect_is_found_and_made_short(twin: str) -> None:
    for each in found(NAME, TWINS[twin]):
        assert each.violation.anomaly == "stuck open"
        assert "(1.5 s allowed)" in each.title


def test_a_breaker_that_takes_longer_than_allowed_is_found() -> None:
    def make(rng: random.Random) -> Breaker:
        return Breaker(timeout_s=3.0)

    assert searched(NAME, make).outcome == "DEVIATED"
    assert searched(NAME, make, timeout_s=3.0).outcome == "UPHELD"


def test_a_breaker_that_never_opened_tells_nothing() -> None:
    result = searched(NAME, lambda rng: Breaker(threshold=10_000))
    assert (result.outcome, result.inconclusive) == ("INCONCLUSIVE", "the breaker never opened")


def test_the_states_that_were_met_are_told() -> None:
    paths = searched(NAME, CORRECT, concurrency=1).code_paths_exercised
    assert {state for state, _, _ in paths} == {"not called", "closed", "failing", "open"}


def test_more_sequences_meet_more_paths() -> None:
    few, many = (
        set(searched(NAME, CORRECT, concurrency=1, iterations=count).code_paths_exercised)
        for count in (2, 100)
    )
    assert few < many


def test_the_statement_has_the_limit_of_the_checker() -> None:
    result = searched(NAME, CORRECT, iterations=1, timeout_s=2.0, grace_s=0.25)
    assert "Within 2.25 s" in result.statement


class Mute(Target):
    """Its calls are never answered once something broke."""

    def __init__(self) -> None:
        self.time = VirtualTime()

    def connect(self, scope: str) -> MuteCircuit:
        return MuteCircuit(Breaker())

    def clock(self) -> float:
        return self.time.clock()

    def sleep(self, seconds: float) -> None:
        self.time.sleep(seconds)


class MuteCircuit(Circuit):
    def call(self) -> None:
        raise NoAnswer("timed out")


def test_calls_without_an_answer_prove_nothing() -> None:
    result = searched(NAME, lambda rng: Mute())
    assert result.outcome == "INCONCLUSIVE"
    assert ("no answer", "calls", "info") in result.code_paths_exercised
