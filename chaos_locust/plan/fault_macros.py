"""The keys of a plan that stand for faults, read and expanded: `cascade` and `random`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos_locust.data import Data, from_mapping, within
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.registry import parse_fault
from chaos_locust.plan.cascade import Cascade
from chaos_locust.plan.random_faults import Random

FAULT_MACROS: Mapping[str, type[Data]] = {"cascade": Cascade, "random": Random}
Placed = list[tuple[str, Fault]]


def expand_faults(given: Mapping[str, Any], seed: int) -> tuple[Placed, list[Problem]]:
    """(place in the document, fault) of everything that the macros in `given` stand for, and what is wrong.

    Each key has one mapping, or a list of them.
    """
    expanded: Placed = []
    problems: list[Problem] = []
    for place, data in _given(given, "cascade"):
        try:
            expanded += _within(place, from_mapping(Cascade, data).expand())
        except InvalidPlan as error:
            problems += within(place, error.problems)
    typed = given.get("faults")
    parsed = [parse_fault(data, "") for data in typed] if isinstance(typed, list | tuple) else []
    for place, data in _given(given, "random"):
        others = [*(fault for fault in parsed if isinstance(fault, Fault)), *(fault for _, fault in expanded)]
        try:
            expanded += _within(place, from_mapping(Random, data).expand(seed, others))
        except InvalidPlan as error:
            problems += within(place, error.problems)
    return expanded, problems


def _given(given: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    value = given.get(key)
    if isinstance(value, list | tuple):
        return [(f"{key}[{index}]", item) for index, item in enumerate(value)]
    return [] if value is None else [(key, value)]


def _within(place: str, found: Placed) -> Placed:
    return [(f"{place}.{inner}", fault) for inner, fault in found]
