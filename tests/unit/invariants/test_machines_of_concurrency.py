"""Locks, counters, stocks, order, tasks, first use, updates, visibility, maps: what is right holds, and each
planted defect gets its name."""

from __future__ import annotations

from types import ModuleType

import pytest

from invariants.catalogue import machine_of
from invariants.machine import Machine
from invariants.samples import (
    counter,
    delivery,
    exclusion,
    initialised,
    once,
    publication,
    shared_map,
    updates,
)

from .searching import found, searched

SAMPLES: dict[str, ModuleType] = {
    "locks_exclude": exclusion,
    "writers_are_alone": exclusion,
    "counters_are_exact": counter,
    "stock_is_never_oversold": counter,
    "messages_stay_in_order": delivery,
    "tasks_run_once": once,
    "initialised_once": initialised,
    "updates_are_not_lost": updates,
    "published_data_are_seen": publication,
    "maps_stay_sound": shared_map,
}

ANOMALIES = {
    ("locks_exclude", "looks, then takes"): {"overlap"},
    ("locks_exclude", "is not given back"): {"stuck"},
    ("locks_exclude", "lets in one too many"): {"overlap"},
    ("locks_exclude", "serves the last first"): {"overtaken"},
    ("writers_are_alone", "readers do not look for writers"): {"shared"},
    ("writers_are_alone", "readers pass waiting writers"): {"overtaken"},
    ("counters_are_exact", "reads, then writes"): {"too little"},
    ("counters_are_exact", "adds twice"): {"too much"},
    ("stock_is_never_oversold", "looks, then takes"): {"oversold", "too much", "too little"},
    ("stock_is_never_oversold", "keeps the last"): {"refused"},
    ("messages_stay_in_order", "takes the newest"): {"out of order"},
    ("messages_stay_in_order", "spreads over two lines"): {"out of order"},
    ("messages_stay_in_order", "looks, then takes"): {"duplicated"},
    ("messages_stay_in_order", "loses the line"): {"lost"},
    ("tasks_run_once", "looks, then takes over"): {"twice"},
    ("tasks_run_once", "forgets what it takes over"): {"never"},
    ("initialised_once", "has no lock"): {"twice", "two instances"},
    ("initialised_once", "does not look again"): {"twice", "two instances"},
    ("initialised_once", "shows it before it is made"): {"two instances"},
    ("updates_are_not_lost", "overwrites"): {"lost update", "ABA"},
    ("updates_are_not_lost", "looks, then writes"): {"lost update", "ABA"},
    ("updates_are_not_lost", "compares the values"): {"lost update", "ABA"},
    ("published_data_are_seen", "sets the flag first"): {"stale data"},
    ("published_data_are_seen", "forgets the flag"): {"unseen"},
    ("maps_stay_sound", "iterates what others change"): {"assert", "unsound"},
    ("maps_stay_sound", "copies, then changes"): {"unsound"},
    ("maps_stay_sound", "deletes from one part only"): {"unsound"},
}


@pytest.mark.parametrize("concurrency", [4, 50])
@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_right_upholds_it(name: str, concurrency: int) -> None:
    for seed in range(2):
        result = searched(name, SAMPLES[name].CORRECT, seed, concurrency, 20)
        assert result.outcome == "UPHELD", result.to_json()
        assert result.never_fired == ()


@pytest.mark.parametrize("capacity", [2, 3])
def test_a_semaphore_first_come_first_served_upholds_both(capacity: int) -> None:
    result = searched(
        "locks_exclude",
        lambda rng: exclusion.Locks(capacity=capacity, patience_s=60),
        concurrency=12,
        iterations=20,
        capacity=capacity,
        hold_s=0.005,
        most_overtaken=0,
    )
    assert result.outcome == "UPHELD"
    assert f"At most {capacity} hold it at a time, and who asked first" in result.statement


def test_readers_and_writers_in_turn_starve_nobody() -> None:
    result = searched(
        "writers_are_alone", exclusion.CORRECT, concurrency=8, iterations=30, most_overtaken=0, hold_s=0.002
    )
    assert result.outcome == "UPHELD"


@pytest.mark.parametrize(("name", "twin"), ANOMALIES)
def test_each_planted_defect_is_found_and_made_short(name: str, twin: str) -> None:
    planted = SAMPLES[name].TWINS[twin]
    assert planted.invariant in ("", name)
    assert {each.violation.anomaly for each in found(name, planted)} <= ANOMALIES[name, twin]


def test_none_is_left_out() -> None:
    twins = {twin for module in SAMPLES.values() for twin in module.TWINS}
    assert {twin.removesuffix(", 1 in 10") for twin in twins} == {twin for _, twin in ANOMALIES}


@pytest.mark.parametrize("name", SAMPLES)
def test_each_says_what_it_is_about(name: str) -> None:
    machine: type[Machine] = machine_of(name)
    assert machine.name == name
    assert machine(None).statement.endswith(".")
    assert machine.reason.endswith(".")
    assert machine.needs
