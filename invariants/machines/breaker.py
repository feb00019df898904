"""A circuit breaker lets calls through again once what is behind it works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.base import Checker
from invariants.checkers.breaker import OPEN, CircuitBreaker
from invariants.history import Operation
from invariants.machine import Machine, Refused, rule
from invariants.machines.unfolded import Unfolded, part

TRIES_AFTER = 1.5
"""So many timeouts after it opened the breaker surely tries."""


def each_call(calls: Operation) -> list[Operation]:
    """Where one of them had no answer, nothing is known of the others either."""
    if calls.kind != "calls":
        return []
    unknown = [calls.start_s, calls.end_s, ""]
    told = calls.result if calls.happened else [unknown] * calls.value["times"]
    return [
        part(calls, place, "call", start_s, end_s, error=error)
        for place, (start_s, end_s, error) in enumerate(told)
    ]


@dataclass
class CircuitBreakerNeverStuckOpen(Machine):
    """timeout_s: how long the breaker stays open before it tries. grace_s: how much longer it may take."""

    name = "circuit_breaker_never_stuck_open"
    reason = "A breaker that stays open turns a fault that lasted seconds into an outage that lasts."
    needs = "call, break_dependency, heal_dependency"

    timeout_s: float = 1.0
    grace_s: float = 0.5

    def __post_init__(self) -> None:
        self._last = "not called"

    @property
    def statement(self) -> str:
        return (
            f"Within {self.timeout_s + self.grace_s:g} s after the dependency is healthy again, "
            "the circuit breaker lets a call through."
        )

    @property
    def checker(self) -> Checker:
        return Unfolded(CircuitBreaker(self.timeout_s, self.grace_s), each_call)

    def state(self) -> str:
        """What the last call showed of the breaker."""
        return "+".join(sorted({*self.acting, self._last}))

    @rule(times=st.sampled_from([1, 3, 10]), timeouts=st.sampled_from([0.0, 0.0, TRIES_AFTER]), weight=6)
    def calls(self, client: Any, times: int, timeouts: float) -> list[list[Any]]:
        """One after the other, for a breaker opens after many failures: [start_s, end_s, error] of each, with
        no error where it was answered. Waits first, in timeouts."""
        if timeouts:
            self.target.sleep(timeouts * self.timeout_s)
        return [self._timed_call(client) for _ in range(times)]

    @rule(weight=2)
    def break_dependency(self, client: Any) -> None:
        client.break_dependency()

    @rule()
    def heal_dependency(self, client: Any) -> None:
        client.heal_dependency()

    # So each sequence that opened the breaker shows whether it closes again.

    @rule(closing=True)
    def last_heal(self, client: Any) -> None:
        client.heal_dependency()

    @rule(closing=True)
    def last_wait(self, client: Any) -> None:
        self.target.sleep(self.timeout_s + self.grace_s)

    @rule(closing=True)
    def last_call(self, client: Any) -> Any:
        return self._call(client)

    def _timed_call(self, client: Any) -> list[Any]:
        start_s, error = self.target.clock(), ""
        try:
            self._call(client)
        except Refused as refusal:
            error = str(refusal) or "refused"
        return [start_s, self.target.clock(), error]

    def _call(self, client: Any) -> Any:
        self._last = "no answer"
        try:
            result = client.call()
        except Refused as refusal:
            self._last = "open" if str(refusal) == OPEN else "failing"
            raise
        self._last = "closed"
        return result
