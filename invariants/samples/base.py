"""What every sample is made of: a correct target, twins of it with one planted defect each, a clock."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from invariants.targets.base import Target

Make = Callable[[random.Random], Target]
"""A target of its own for each search; what happens in it by chance is drawn from the given Random."""

Shows = Callable[[], bool]
"""Asked each time a planted defect could show: whether it does."""

TICK_S = 1e-6


@dataclass(frozen=True)
class Twin:
    """A target with one planted defect, which its invariant must find.

    known_minimum: the steps of the shortest sequence that can show it, closing rules not counted; 0 where it
    takes a share of many operations, so that there is no shortest one. options: for the invariant, where its
    defaults would not do. concurrency: connections that it takes. invariant: its name, where the samples of
    several are in one file.
    """

    make: Make
    known_minimum: int
    options: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int = 1
    invariant: str = ""


class VirtualTime:
    """A clock that goes on by what is slept, so that timeouts cost no time, and by a tick each time it is
    looked at, so that what comes later is seen to."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._lock = threading.Lock()

    def clock(self) -> float:
        """Seconds."""
        with self._lock:
            self._now_s += TICK_S
            return self._now_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now_s += seconds


def network(trips: int = 1) -> None:
    """The time that a call over a network takes, in which those of other connections go ahead."""
    time.sleep(0.0002 * trips)


def one_in_ten(rng: random.Random) -> Shows:
    """For a defect that shows in one of ten tries."""
    return lambda: rng.random() < 0.1


def always() -> bool:
    """For a defect that shows every time."""
    return True


def never() -> bool:
    """For a defect that is not planted."""
    return False
