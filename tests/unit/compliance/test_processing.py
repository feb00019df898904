"""What is made of amounts, as answered and as stored."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from compliance.measures.operations.processing import Placed, number_of, wrong_amounts


def order(amount: str, price: str | None, quantity: int = 3) -> Placed:
    return Placed("7", quantity, Decimal(amount), None if price is None else Decimal(price))


@pytest.mark.parametrize(
    ("placed", "stored", "wrong"),
    [
        (order("59.97", "19.99"), "59.97", []),
        (order("59.97", "19.99"), "59.970", []),
        (order("60", "19.99"), "60", ["7: 3 x 19.99 = 59.97, answered 60, stored 60"]),
        (order("59.97", "19.99"), "60", ["7: 3 x 19.99 = 59.97, answered 59.97, stored 60"]),
        (order("59.97", None), "59.97", None),
        (order("59.97", None), "60", ["7: unknown, answered 59.97, stored 60"]),
    ],
)
def test_amounts(placed: Placed, stored: str, wrong: list[str] | None) -> None:
    assert wrong_amounts([placed], {"7": Decimal(stored)}) == wrong


def test_an_order_that_is_not_stored_is_judged_by_its_answer() -> None:
    assert wrong_amounts([order("59.97", "19.99")], {}) == []
    assert wrong_amounts([order("60", "19.99")], {}) != []


def test_an_amount_that_is_stored_as_nothing_is_wrong() -> None:
    assert wrong_amounts([order("59.97", "19.99")], {"7": None}) != []


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (1, Decimal(1)),
        (19.99, Decimal("19.99")),
        ("19.990", Decimal("19.99")),
        (Decimal("2.5"), Decimal("2.5")),
    ],
)
def test_numbers(given: Any, number: Decimal) -> None:
    assert number_of(given) == number


@pytest.mark.parametrize("given", [None, True, "", "many", [1], float("nan"), "Infinity"])
def test_what_is_no_number(given: Any) -> None:
    assert number_of(given) is None
