"""Money is conserved: correct banks pass, planted defects get their names."""

from __future__ import annotations

import random

import pytest

from invariants.samples.bank import CORRECT, OPENING, TWINS, Bank, Overdraws

from .searching import found, searched

NAME = "money_is_conserved"

ANOMALIES = {
    "transfers at once overwrite each other": "wrong total",
    "accounts are overdrawn": "negative balance",
    "what one sends to oneself is lost": "wrong total",
    "the credit is forgotten, 1 of 10": "wrong total",
}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_correct_bank_on_a_lossy_way_upholds_it(concurrency: int) -> None:
    result = searched(NAME, CORRECT, concurrency=concurrency)
    assert result.outcome == "UPHELD"
    assert result.never_fired == ()


@pytest.mark.parametrize("twin", TWINS)
def test_each_planted_defect_is_found_and_made_short(twin: str) -> None:
    assert {each.violation.anomaly for each in found(NAME, TWINS[twin])} == {ANOMALIES[twin]}


def test_a_bank_may_be_allowed_to_overdraw() -> None:
    def make(rng: random.Random) -> Bank:
        return Bank(Overdraws)

    allowed, strict = searched(NAME, make, may_be_negative=True), searched(NAME, make)
    assert (allowed.outcome, strict.outcome) == ("UPHELD", "DEVIATED")
    assert "negative" not in allowed.statement
    assert "no balance becomes negative" in strict.statement


def test_only_accounts_of_the_target_are_used() -> None:
    (shortest,) = searched(NAME, TWINS["what one sends to oneself is lost"].make, concurrency=1).violations
    (step,) = shortest.steps
    assert step.arguments["source"] == step.arguments["target"]
    assert step.arguments["source"] in OPENING
