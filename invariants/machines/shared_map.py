"""A map that many workers use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.shared_map import SharedMap
from invariants.machine import Machine, fresh, rule

KEYS = st.sampled_from(["a", "b", "c", "d"])


@dataclass
class MapsStaySound(Machine):
    name = "maps_stay_sound"
    reason = "Maps that are changed while they are read lose entries, show none, or break off the iteration."
    needs = "put, delete, get, items"

    @property
    def statement(self) -> str:
        return "Each entry is what was last put there, also while others put, delete and iterate."

    @property
    def checker(self) -> SharedMap:
        return SharedMap()

    @rule(weight=3, key=KEYS, value=fresh())
    def put(self, client: Any, key: str, value: int) -> None:
        client.put(key, value)

    @rule(weight=2, key=KEYS)
    def delete(self, client: Any, key: str) -> None:
        client.delete(key)

    @rule(key=KEYS)
    def get(self, client: Any, key: str) -> int | None:
        found: int | None = client.get(key)
        return found

    @rule(weight=2)
    def iterate(self, client: Any) -> dict[str, int]:
        return self._all(client)

    @rule(closing=True)
    def contents(self, client: Any) -> dict[str, int]:
        return self._all(client)

    def _all(self, client: Any) -> dict[str, int]:
        try:
            return dict(client.items())
        except (LookupError, RuntimeError) as error:  # what containers raise that are changed meanwhile
            raise AssertionError(f"the iteration broke off: {error}") from error
