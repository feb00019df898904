"""`invariants:` of a plan: its form. Which checkers there are is checked where they are known."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from chaos_locust.errors import InvalidPlan
from chaos_locust.plan.documents import parse_plan
from chaos_locust.plan.invariants import Invariant
from chaos_locust.plan.model import Plan
from chaos_locust.plan.schema import plan_schema

GIVEN = ["linearizable", {"check": "set-full", "stale": "2s", "keys": "user-*", "severity": "warn"}]


def plan(invariants: Any, **more: Any) -> Plan:
    return parse_plan({"name": "a plan", "invariants": invariants, **more}, {})


def test_it_is_a_name_or_a_mapping_with_options() -> None:
    assert plan(GIVEN).invariants == (
        Invariant("linearizable"),
        Invariant("set-full", {"stale": "2s"}, "user-*", "warn"),
    )
    assert [each.text for each in plan(GIVEN).invariants] == [
        "linearizable",
        "set-full (stale 2s, keys user-*)",
    ]


def test_the_journal_has_it_as_it_was_typed() -> None:
    data = plan(GIVEN).to_json()
    assert data["invariants"] == GIVEN
    assert Plan.from_json(data) == plan(GIVEN)
    Draft202012Validator(plan_schema()).validate(data)


def test_every_problem_is_told_with_its_place() -> None:
    wrong = [{"stale": "2s"}, {"check": "set-full", "severity": "loud"}, 7, "", {"check": "bank", "keys": ""}]
    with pytest.raises(InvalidPlan) as raised:
        plan(wrong, requests=[{"path": "/"}])
    places = [problem.place for problem in raised.value.problems]
    assert places == [
        "invariants",
        "invariants[0].check",
        "invariants[1].severity",
        "invariants[2]",
        "invariants[3].check",
        "invariants[4].keys",
    ]
    assert "give a locustfile whose users write down their operations" in str(raised.value)
