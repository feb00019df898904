"""Registers that behave as if there were one copy of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.linearizable import Linearizable
from invariants.machine import Machine, Refused, rule

KEYS = st.sampled_from(["x", "y"])
VALUES = st.integers(0, 2)
"""Few, so that what a compare-and-set expects is often there."""


@dataclass
class RegistersAreLinearizable(Machine):
    name = "registers_are_linearizable"
    reason = "Locks, counters and 'is this still free?' are wrong on a store that answers with old values."
    needs = "a client with `read(key)`, `write(key, value)` and `cas(key, old, new) -> bool`; None at first"

    @property
    def statement(self) -> str:
        return (
            "Each read, write and compare-and-set of a key takes effect at one instant between its start and "
            "its answer."
        )

    @property
    def checker(self) -> Linearizable:
        return Linearizable()

    @rule(weight=3, key=KEYS)
    def read(self, client: Any, key: str) -> int | None:
        found: int | None = client.read(key)
        return found

    @rule(weight=2, key=KEYS, value=VALUES)
    def write(self, client: Any, key: str, value: int) -> None:
        client.write(key, value)

    @rule(weight=2, key=KEYS, value=st.tuples(st.none() | VALUES, VALUES).map(list))
    def cas(self, client: Any, key: str, value: list[int | None]) -> None:
        """value: what is expected, and what it becomes."""
        expected, new = value
        if not client.cas(key, expected, new):
            raise Refused("another value is there")
