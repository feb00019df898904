"""Updates on the condition that nobody else has changed what was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.updates import ConditionalUpdates
from invariants.machine import Machine, rule


@dataclass
class UpdatesAreNotLost(Machine):
    """think_s: so long after it has read a client writes."""

    name = "updates_are_not_lost"
    reason = "Two edit the same record, both are told that it is saved, and the work of one is gone."
    needs = "read, put"

    think_s: float = 0.001

    @property
    def statement(self) -> str:
        return "An update is refused when another came after the read that it is based on."

    @property
    def checker(self) -> ConditionalUpdates:
        return ConditionalUpdates()

    # Few values, so that one comes back after another (ABA).
    @rule(value=st.sampled_from(["A", "B"]))
    def update(self, client: Any, value: str) -> dict[str, Any]:
        """`read() -> (value, version)`; `put(value, version)` raises Refused("conflict") when another changed
        it since. The version is whatever the target has to be given."""
        read, version = client.read()
        from_s = self.target.clock()
        self.target.sleep(self.think_s)
        until_s = self.target.clock()
        client.put(value, version)
        return {"read": read, "from_s": from_s, "until_s": until_s}
