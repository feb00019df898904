"""What many want at once is fetched from the origin once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.base import Checked, Checker
from invariants.checkers.cache import SingleFlight
from invariants.history import History, Operation
from invariants.machine import Machine, rule

ORIGIN_CALLS = "origin_calls"


@dataclass(frozen=True, slots=True)
class OfOrigin:
    """SingleFlight on what the origin told of the calls that it got, at the end of the sequence."""

    flight: SingleFlight

    @property
    def name(self) -> str:
        return self.flight.name

    def check(self, history: History) -> Checked:
        told = [call for op in history.of(ORIGIN_CALLS) if op.happened for call in op.result]
        calls = [
            Operation(
                process=f"origin {number}",
                number=0,
                kind="origin",
                key=call["key"],
                value=None,
                outcome="ok" if call["ok"] else "fail",
                result=None,
                start_s=call["start_s"],
                end_s=call["end_s"],
            )
            for number, call in enumerate(told)
        ]
        return self.flight.check(History((*history.operations, *calls), history.faults))


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
        return OfOrigin(SingleFlight(self.lasts_s))

    @rule(key=st.sampled_from(["a", "b"]))
    def get(self, client: Any, key: str) -> None:
        client.get(key)

    @rule(closing=True)
    def origin_calls(self, client: Any) -> list[dict[str, Any]]:
        """Each with its key, start_s and end_s on the target's clock, and ok: whether it gave an answer."""
        return list(client.origin_calls())
