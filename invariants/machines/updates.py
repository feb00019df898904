"""Updates on the condition that nobody else has changed what was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.updates import ConditionalUpdates
from invariants.machine import Machine, rule


@dataclass
class UpdatesAreNotLost(Machine):
    name = "updates_are_not_lost"
    reason = "Two edit the same record, both are told that it is saved, and the work of one is gone."
    needs = "read, put"

    @property
    def statement(self) -> str:
        return "An update is refused when another came after the read that it is based on."

    @property
    def checker(self) -> ConditionalUpdates:
        return ConditionalUpdates()

    @rule(weight=2)
    def read(self, client: Any) -> str | None:
        """The client remembers the version for its next `put`."""
        value: str | None = client.read()
        return value

    # Few values, so that one comes back after another (ABA).
    @rule(weight=2, value=st.sampled_from(["A", "B"]))
    def put(self, client: Any, value: str) -> None:
        """Raises Refused("conflict") when another changed it since the last read, and Refused otherwise when
        this client has not read since its last put."""
        client.put(value)
