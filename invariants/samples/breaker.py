"""A circuit breaker before a dependency that can be broken."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Literal

from invariants.machine import Refused
from invariants.samples.base import Make, Shows, Twin, VirtualTime, always, one_in_ten
from invariants.targets.base import Target

Planted = Literal["", "never tries", "nothing is let through to try", "a try that fails is the last"]
TIMEOUT_S = 1.0


@dataclass
class Breaker(Target):
    """Opens after `threshold` failures in a row, and lets one call through to try after `timeout_s`."""

    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    threshold: int = 3
    timeout_s: float = TIMEOUT_S
    time: VirtualTime = field(default_factory=VirtualTime, init=False, repr=False)
    circuits: dict[str, Circuit] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Circuit:
        return self.circuits.setdefault(scope, Circuit(self))

    def forget(self, scope: str) -> None:
        self.circuits.pop(scope, None)

    def clock(self) -> float:
        return self.time.clock()

    def sleep(self, seconds: float) -> None:
        self.time.sleep(seconds)


class Circuit:
    """What the clients of one scope share."""

    def __init__(self, settings: Breaker) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._broken = self._trying = self._stuck = False
        self._failures = 0
        self._opened_s: float | None = None

    def break_dependency(self) -> None:
        self._broken = True

    def heal_dependency(self) -> None:
        self._broken = False

    def call(self) -> None:
        with self._lock:
            tries = self._let_through()
        broken = self._broken
        with self._lock:
            self._note(broken, tries)
        if broken:
            raise Refused("the dependency failed")

    def _let_through(self) -> bool:
        """Whether this call is the one that tries."""
        if self._opened_s is None:
            return False
        now_s = self._settings.clock()
        if self._stuck or self._trying or now_s < self._opened_s + self._settings.timeout_s:
            raise Refused("open")
        if self._plants("nothing is let through to try"):
            self._trying = True
            raise Refused("open")
        self._trying = True
        return True

    def _note(self, failed: bool, tried: bool) -> None:
        if tried:
            self._trying = failed and self._plants("a try that fails is the last")
        if not failed:
            self._failures, self._opened_s = 0, None
            return
        self._failures += 1
        if tried or (self._failures >= self._settings.threshold and self._opened_s is None):
            self._opened_s = self._settings.clock()
            self._stuck = self._plants("never tries")

    def _plants(self, planted: Planted) -> bool:
        return self._settings.planted == planted and self._settings.shows()


def _twins(planted: Planted, known_minimum: int) -> dict[str, Twin]:
    def now_and_then(rng: random.Random) -> Breaker:
        return Breaker(planted, one_in_ten(rng))

    return {
        planted: Twin(lambda rng: Breaker(planted), known_minimum),
        f"{planted}, 1 in 10": Twin(now_and_then, known_minimum),
    }


def _correct(rng: random.Random) -> Breaker:
    return Breaker()


CORRECT: Make = _correct

TWINS = {
    **_twins("never tries", 2),  # break, calls
    **_twins("nothing is let through to try", 2),
    **_twins("a try that fails is the last", 3),  # and calls after the timeout
}
