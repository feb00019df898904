"""Transactions that append to lists and read them, since lists tell the order of what was appended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from invariants.checkers.list_append import MEANINGS, ListAppend
from invariants.machine import InvalidMachine, Machine, fresh, rule

KEYS = ("x", "y")
LONGEST = 4
"""So many reads and appends are in one transaction at most."""


def _transaction(number: int) -> SearchStrategy[list[list[Any]]]:
    """Elements are numbered by the step and the place in it, so that each is appended once."""

    def made(drawn: list[tuple[bool, str]]) -> list[list[Any]]:
        return [
            ["append", key, number * LONGEST + place] if appends else ["r", key, None]
            for place, (appends, key) in enumerate(drawn)
        ]

    step = st.tuples(st.booleans(), st.sampled_from(KEYS))
    return st.lists(step, min_size=1, max_size=LONGEST).map(made)


@dataclass
class TransactionsAreSerializable(Machine):
    """allowed: names of anomalies, such as G2, that the isolation level does not promise to prevent."""

    name = "transactions_are_serializable"
    reason = "Code that was right alone is wrong beside itself, where transactions see each other half."
    needs = (
        'a client with `txn([["append", key, element], ["r", key, None], ...])`, one transaction, which '
        "gives the same with the lists that were read; each list is empty at first"
    )

    allowed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for anomaly in sorted(set(self.allowed) - set(MEANINGS)):
            raise InvalidMachine(f"the anomaly '{anomaly}' is not known; known are {', '.join(MEANINGS)}")

    @property
    def statement(self) -> str:
        but = f", but for {', '.join(sorted(self.allowed))}" if self.allowed else ""
        return f"Transactions give what they would give one after another, in some order{but}."

    @property
    def checker(self) -> ListAppend:
        return ListAppend(frozenset(self.allowed))

    @rule(value=fresh(_transaction))
    def txn(self, client: Any, value: list[list[Any]]) -> list[list[Any]]:
        done: list[list[Any]] = client.txn(value)
        return done
