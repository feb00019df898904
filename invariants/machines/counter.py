"""Counters, and stocks that are sold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.counter import Counter
from invariants.machine import Machine, NoAnswer, Refused, TargetDown, rule


@dataclass
class CountersAreExact(Machine):
    name = "counters_are_exact"
    reason = "Two that read, add and write at the same time count one: hits, votes and balances are too low."
    needs = "add, read"

    @property
    def statement(self) -> str:
        return "A counter is the sum of all that was added to it."

    @property
    def checker(self) -> Counter:
        return Counter()

    @rule(weight=4, value=st.integers(1, 9))
    def add(self, client: Any, value: int) -> None:
        client.add(value)

    @rule()
    def read(self, client: Any) -> int:
        return int(client.read())

    @rule(closing=True)
    def total(self, client: Any) -> int:
        return int(client.read())


@dataclass
class StockIsNeverOversold(CountersAreExact):
    """stock: so many are there at first."""

    name = "stock_is_never_oversold"
    reason = "Who sells the last one twice has to disappoint a customer who has paid."
    needs = "add, read, take"

    stock: int = 3

    @property
    def statement(self) -> str:
        return (
            f"Of {self.stock} and what is put back no more are taken, none is refused that was there, and "
            "what is left is right."
        )

    @property
    def checker(self) -> Counter:
        return Counter(self.stock, 0)

    def start(self) -> None:
        super().start()
        client = self.connect()
        try:
            client.add(self.stock)
        except (NoAnswer, Refused) as error:
            self.end()
            raise TargetDown(f"the stock could not be put there: {error}") from None
        finally:
            self.disconnect(client)

    @rule(weight=6, value=st.integers(1, 2))
    def take(self, client: Any, value: int) -> None:
        """Raises Refused("too little") where less is there."""
        client.take(value)
