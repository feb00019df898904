"""Transfers between accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from invariants.checkers.bank import Bank
from invariants.machine import Machine, of_target, rule


def _account(target: Any) -> SearchStrategy[str]:
    return st.sampled_from(sorted(target.accounts))


def _amount(target: Any) -> SearchStrategy[int]:
    """Up to all that is in the richest account, so that two of them overdraw it."""
    return st.integers(1, max(target.accounts.values()))


@dataclass
class MoneyIsConserved(Machine):
    """may_be_negative: whether accounts may be overdrawn."""

    name = "money_is_conserved"
    reason = "Sums that do not add up are what lost updates and half transfers look like in the books."
    needs = (
        "a target with `accounts`, {name: balance} as each sequence finds them; a client with "
        "`transfer(source, target, amount)` and `read() -> {name: balance}`"
    )

    may_be_negative: bool = False

    @property
    def statement(self) -> str:
        negative = "" if self.may_be_negative else ", and no balance becomes negative"
        return f"Whatever is transferred, the balances add up to what they were at first{negative}."

    @property
    def checker(self) -> Bank:
        return Bank(sum(self.target.accounts.values()), self.may_be_negative)

    @rule(
        weight=3,
        source=of_target(_account),
        target=of_target(_account),
        amount=of_target(_amount),
    )
    def transfer(self, client: Any, source: str, target: str, amount: int) -> None:
        client.transfer(source, target, amount)

    @rule(weight=2, closing=True)
    def read(self, client: Any) -> dict[str, int]:
        balances: dict[str, int] = client.read()
        return balances
