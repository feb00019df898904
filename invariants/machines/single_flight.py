"""What many want at once is fetched from the origin once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.base import Checker
from invariants.checkers.cache import SingleFlight
from invariants.history import Operation
from invariants.machine import Machine, rule
from invariants.machines.unfolded import Unfolded, part


def at_origin(told: Operation) -> list[Operation]:
    if told.kind != "origin_calls" or not told.happened:
        return []
    return [
        part(
            told,
            place,
            "origin",
            call["start_s"],
            call["end_s"],
            key=call["key"],
            error="" if call["ok"] else "failed",
        )
        for place, call in enumerate(told.result)
    ]


@dataclass
class OneMissOneFetch(Machine):
    """lasts_s: how long what was fetched is good for, at least."""

    name = "one_miss_one_fetch"
    reason = "When a much wanted entry expires, all who want it fall on the origin at once."
    needs = "get, origin_calls"

    lasts_s: float = 0.0

    @property
    def statement(self) -> str:
        again = f" nor within {self.lasts_s:g} s after it began" if self.lasts_s else ""
        return f"The origin is not asked for a key while the answer is under way{again}."

    @property
    def checker(self) -> Checker:
        return Unfolded(SingleFlight(self.lasts_s), at_origin)

    @rule(key=st.sampled_from(["a", "b"]))
    def get(self, client: Any, key: str) -> None:
        client.get(key)

    @rule(closing=True)
    def origin_calls(self, client: Any) -> list[dict[str, Any]]:
        """Each with its key, start_s and end_s on the target's clock, and ok: whether it gave an answer."""
        return list(client.origin_calls())
