"""A cache serves nothing that was overwritten too long ago."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.base import Checker
from invariants.checkers.cache import CacheConsistency
from invariants.history import Operation
from invariants.machine import Machine, fresh, rule
from invariants.machines.unfolded import Unfolded, part

KEYS = ("a", "b")
"""Few, so that what is written is read."""

LONGER = 1.1
"""At the end so many times as long is waited as an old value may be served."""


def each_read(reads: Operation) -> list[Operation]:
    if reads.kind != "last_reads" or not reads.happened:
        return []
    return [
        part(reads, place, "read", start_s, end_s, key=key, result=value)
        for place, (key, start_s, end_s, value) in enumerate(reads.result)
    ]


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
        return Unfolded(CacheConsistency(self.stale_s), each_read)

    @rule(key=st.sampled_from(KEYS), weight=2)
    def read(self, client: Any, key: str) -> int | None:
        value: int | None = client.read(key)
        return value

    @rule(key=st.sampled_from(KEYS), value=fresh())
    def write(self, client: Any, key: str, value: int) -> None:
        client.write(key, value)

    # So each sequence tells of the writes in it, however long an old value may be served.

    @rule(closing=True)
    def last_wait(self, client: Any) -> None:
        self.target.sleep(LONGER * self.stale_s)

    @rule(closing=True)
    def last_reads(self, client: Any) -> list[list[Any]]:
        """[key, start_s, end_s, value] of each."""
        return [self._timed_read(client, key) for key in KEYS]

    def _timed_read(self, client: Any, key: str) -> list[Any]:
        start_s, value = self.target.clock(), client.read(key)
        return [key, start_s, self.target.clock(), value]
