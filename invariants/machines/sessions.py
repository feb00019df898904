"""What one client may rely on, whichever copy answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.sessions import SessionGuarantees
from invariants.machine import Machine, fresh, rule

KEYS = st.sampled_from(["x", "y"])


@dataclass
class SessionsAreConsistent(Machine):
    name = "sessions_are_consistent"
    reason = "Who saves and is shown the old text saves again, or believes that it was lost."
    needs = "a client, a session of its own, with `read(key) -> version or None` and `write(key, version)`"

    @property
    def statement(self) -> str:
        return "Each session reads its own writes, and never goes back behind what it has read."

    @property
    def checker(self) -> SessionGuarantees:
        return SessionGuarantees()

    @rule(weight=3, key=KEYS)
    def read(self, client: Any, key: str) -> int | None:
        version: int | None = client.read(key)
        return version

    @rule(weight=2, key=KEYS, value=fresh())
    def write(self, client: Any, key: str, value: int) -> None:
        client.write(key, value)
