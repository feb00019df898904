"""A cache serves nothing that was overwritten too long ago."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.base import Checker
from invariants.checkers.cache import CacheConsistency
from invariants.machine import Machine, fresh, rule

KEYS = st.sampled_from(["a", "b"])
"""Few, so that what is written is read."""

LONGER = 1.1
"""A wait is so many times as long as an old value may be served."""


@dataclass
class CacheStaysConsistent(Machine):
    """stale_s: so long after a write was acknowledged an older value may be read."""

    name = "cache_stays_consistent"
    reason = "A price that was changed and is still charged is a price that was charged wrongly."
    needs = "read, write"

    stale_s: float = 0.0

    @property
    def statement(self) -> str:
        when = f"that began more than {self.stale_s:g} s after" if self.stale_s else "that began after"
        return f"A read {when} a write was acknowledged does not give an older value."

    @property
    def checker(self) -> Checker:
        return CacheConsistency(self.stale_s)

    @rule(key=KEYS, weight=3)
    def read(self, client: Any, key: str) -> int | None:
        value: int | None = client.read(key)
        return value

    @rule(key=KEYS, value=fresh(), weight=2)
    def write(self, client: Any, key: str, value: int) -> None:
        client.write(key, value)

    @rule()
    def wait(self, client: Any) -> None:
        self.target.sleep(LONGER * self.stale_s)
