"""A circuit breaker lets calls through again once what is behind it works."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.base import Checked, Checker
from invariants.checkers.breaker import OPEN, CircuitBreaker
from invariants.history import History, Operation
from invariants.machine import Machine, Refused, rule

BURST = "burst"


@dataclass(frozen=True, slots=True)
class OfBursts:
    """CircuitBreaker on each call of a burst. One that ended without an answer tells of none of its calls."""

    breaker: CircuitBreaker

    @property
    def name(self) -> str:
        return self.breaker.name

    def check(self, history: History) -> Checked:
        calls = [call for burst in history.of(BURST) for call in _calls(burst)]
        return self.breaker.check(History((*history.operations, *calls), history.faults))


def _calls(burst: Operation) -> list[Operation]:
    unknown = [burst.start_s, burst.end_s, ""]
    told = burst.result if burst.happened else [unknown] * burst.value["times"]
    return [
        Operation(
            process=f"{burst.process} {burst.number}.{place}",
            number=0,
            kind="call",
            key=None,
            value=None,
            outcome="info" if math.isinf(end_s) else "fail" if error else "ok",
            result=None,
            start_s=start_s,
            end_s=end_s,
            error=error,
        )
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
        return OfBursts(CircuitBreaker(self.timeout_s, self.grace_s))

    def state(self) -> str:
        """What the last call showed of the breaker."""
        return "+".join(sorted({*self.acting, self._last}))

    @rule(weight=3)
    def call(self, client: Any) -> Any:
        return self._call(client)

    @rule(times=st.sampled_from([3, 10]))
    def burst(self, client: Any, times: int) -> list[Any]:
        """Calls one after the other, for a breaker opens after many failures, and sequences are short:
        [start_s, end_s, error] of each, with no error where it was answered."""
        return [self._timed_call(client) for _ in range(times)]

    @rule(weight=2)
    def break_dependency(self, client: Any) -> None:
        client.break_dependency()

    @rule()
    def heal_dependency(self, client: Any) -> None:
        client.heal_dependency()

    @rule(timeouts=st.sampled_from([0.5, 1.0, 1.5]))
    def wait(self, client: Any, timeouts: float) -> None:
        self.target.sleep(timeouts * self.timeout_s)

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
