"""A circuit breaker. Pure: the clock is a parameter, calls are reported to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half-open"]


class Breaker:
    """Opens after `failures_to_open` failures in a row; after `open_s` lets one call through as a probe.

    Ask `allows()` before a call, and after each allowed call say `succeeded()` or `failed()`.
    """

    def __init__(
        self,
        failures_to_open: int,
        open_s: float,
        clock: Callable[[], float],
        stuck_open: bool = False,
    ) -> None:
        self._failures_to_open = failures_to_open
        self._open_s = open_s
        self._clock = clock
        self._stuck_open = stuck_open  # the planted defect: never half-open
        self._failures = 0
        self._opened_at: float | None = None
        self._probing_since: float | None = None

    @property
    def state(self) -> State:
        if self._opened_at is None:
            return "closed"
        if self._stuck_open or self._clock() - self._opened_at < self._open_s:
            return "open"
        return "half-open"

    def allows(self) -> bool:
        """Whether a call may be made now. In half-open state only one at a time may."""
        if self.state != "half-open":
            return self.state == "closed"
        now = self._clock()
        # A probe that never reported back (its request was cancelled) must not block all later ones.
        if self._probing_since is not None and now - self._probing_since < self._open_s:
            return False
        self._probing_since = now
        return True

    def succeeded(self) -> None:
        """A call went well. One that was made before the breaker opened does not close it."""
        if self.state != "open":
            self._failures, self._opened_at, self._probing_since = 0, None, None

    def failed(self) -> None:
        """A call failed: counts towards opening, and opens again out of half-open."""
        self._failures += 1
        if self.state == "half-open" or (self.state == "closed" and self._failures >= self._failures_to_open):
            self._opened_at, self._probing_since = self._clock(), None
