"""Data that one writes and others see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from invariants.checkers.publication import Publication
from invariants.machine import Machine, fresh, rule


@dataclass
class PublishedDataAreSeen(Machine):
    name = "published_data_are_seen"
    reason = "A flag that is seen before its data makes others work with what was there before."
    needs = "publish, look"

    @property
    def statement(self) -> str:
        return "Who sees the flag sees the data that belong to it."

    @property
    def checker(self) -> Publication:
        return Publication()

    @rule(value=fresh(lambda number: number + 1))
    def publish(self, client: Any, value: int) -> None:
        """The data of that number, then the flag with it."""
        client.publish(value)

    @rule(weight=2)
    def look(self, client: Any) -> dict[str, int | None]:
        """The flag first, then the data that belong to its number; None: nothing there."""
        flag, data = client.look()
        return {"flag": flag, "data": data}
