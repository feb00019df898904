"""Conditions: what is true, what is false, and what is neither."""

from __future__ import annotations

from typing import Any

import pytest

from compliance.condition import Condition, NotKnown

PARAMETERS = {"tls_min": 1.2, "names": ["a", "b"]}


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("lowest >= params.tls_min", {"lowest": 1.2}, True),
        ("lowest >= params.tls_min", {"lowest": 1.0}, False),
        ("trusted == true", {"trusted": True}, True),
        ("trusted == true", {"trusted": 1}, False),
        ("count == 0", {"count": False}, False),
        ("count != 0", {"count": False}, True),
        ("open == []", {"open": []}, True),
        ("open == []", {"open": ["GET /orders"]}, False),
        ("role in params.names", {"role": "b"}, True),
        ("roles within params.names", {"roles": ["b", "c"]}, False),
        ('roles contains "a"', {"roles": ["b", "a"]}, True),
        ("a < 3 and b > 4", {"a": 1, "b": 4}, False),
    ],
)
def test_it_holds_or_fails(text: str, value: dict[str, Any], holds: bool) -> None:
    assert (not Condition.parse(text).failing(value, PARAMETERS)) is holds


@pytest.mark.parametrize("value", [{}, {"lowest": None}, {"lowest": "1.2"}, {"lowest": True}])
def test_what_was_not_measured_is_neither(value: dict[str, Any]) -> None:
    with pytest.raises(NotKnown):
        Condition.parse("lowest >= params.tls_min").failing(value, PARAMETERS)


def test_one_part_that_fails_is_enough_to_know() -> None:
    condition = Condition.parse("a == 1 and b == 2")
    assert [term.field for term in condition.failing({"a": 0}, {})] == ["a"]
    with pytest.raises(NotKnown):
        condition.failing({"a": 1}, {})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lowest", "'lowest' is no condition"),
        ("lowest => 2", "is no condition"),
        ("lowest >= __import__('os')", "is neither JSON nor params.NAME"),
        ("a == 1 and", "is neither JSON"),
    ],
)
def test_what_is_no_condition(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(")):
        Condition.parse(text)
