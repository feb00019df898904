"""Queues: what loses, doubles or invents messages is found, also when it does so now and then."""

from __future__ import annotations

import random

import pytest

from invariants.samples.queue import CORRECT, TWINS, Queue

from .searching import found, searched

NAME = "queue_never_loses_messages"

ANOMALIES = {
    "accepts and forgets": "lost",
    "enqueues at once overwrite each other": "lost",
    "forgets when it is long": "lost",
    "gives a message again": "duplicated",
    "drain forgets the last": "lost",
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_correct_queue_is_upheld(seed: int, concurrency: int) -> None:
    result = searched(NAME, CORRECT, seed, concurrency)
    assert result.outcome == "UPHELD"
    assert result.never_fired == ()
    assert result.seen["enqueued"] == result.seen["dequeued"] > 0


@pytest.mark.parametrize("twin", TWINS)
def test_each_planted_defect_is_found_and_made_short(twin: str) -> None:
    anomaly = ANOMALIES[twin.removesuffix(", 1 in 10")]
    assert {each.violation.anomaly for each in found(NAME, TWINS[twin])} == {anomaly}


def test_a_race_takes_more_than_one_connection() -> None:
    race = TWINS["enqueues at once overwrite each other"]
    assert searched(NAME, race.make, concurrency=1).outcome == "UPHELD"
    (shortest,) = searched(NAME, race.make, concurrency=4).violations
    assert len({step.lane for step in shortest.steps}) > 1


def test_one_lost_message_in_a_thousand_is_found_and_named() -> None:
    def make(rng: random.Random) -> Queue:
        return Queue("accepts and forgets", lambda: rng.random() < 0.001)

    (shortest,) = searched(NAME, make, concurrency=1, iterations=1000).violations
    assert shortest.title == "1 accepted messages never came out"
    (lost,) = shortest.violation.operations
    assert lost.kind == "enqueue"
    assert lost.value in [step.arguments["value"] for step in shortest.steps if step.rule == "enqueue"]


def test_a_queue_may_promise_no_more_than_at_least_once() -> None:
    make = TWINS["gives a message again"].make
    allowed = searched(NAME, make, at_least_once=True)
    assert (allowed.outcome, searched(NAME, make).outcome) == ("UPHELD", "DEVIATED")
    assert "at least once" in allowed.statement
