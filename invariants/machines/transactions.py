"""Transactions: all of one, or nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from invariants.checkers.atomic import TransactionAtomicity
from invariants.machine import Machine, fresh, rule

PARTS = ("first", "second", "third")


@dataclass
class TransactionsAreAtomic(Machine):
    name = "transactions_are_atomic"
    reason = "Half of an order, paid and not delivered, is worse than none, and nobody looks for it."
    needs = "a client with `transaction({name: value})` and `read([name]) -> {name: value or None}`"

    tried: list[str] = field(default_factory=list, init=False, repr=False)
    """The names that were written or tried, by all lanes."""

    @property
    def statement(self) -> str:
        return (
            "Readers see all of a transaction or nothing of it, one that failed leaves no traces, and one "
            "that was acknowledged is there."
        )

    @property
    def checker(self) -> TransactionAtomicity:
        return TransactionAtomicity()

    @rule(weight=3, value=fresh(lambda number: {f"{part}-{number}": number for part in PARTS}))
    def transaction(self, client: Any, value: dict[str, int]) -> None:
        self.tried.extend(value)  # before it begins: others may see it half done
        client.transaction(value)

    @rule(weight=2, closing=True)
    def read(self, client: Any) -> dict[str, int | None]:
        found: dict[str, int | None] = client.read(list(self.tried))
        return found
