"""What every sample is made of: a correct target, twins of it with one planted defect each, a clock."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from invariants.targets.base import Target

Make = Callable[[random.Random], Target]
"""A target of its own for each search; what happens in it by chance is drawn from the given Random."""


@dataclass(frozen=True)
class Twin:
    """A target with one planted defect, which its invariant must find.

    known_minimum: the steps of the shortest sequence that can show it, closing rules not counted; 0 where a
    sequence of any length shows it. options: for the invariant, where its defaults would not do.
    """

    make: Make
    known_minimum: int
    options: Mapping[str, Any] = field(default_factory=dict)


class VirtualTime:
    """A clock that goes on only when someone waits, so that timeouts cost no time."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._lock = threading.Lock()

    def clock(self) -> float:
        """Seconds."""
        return self._now_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now_s += seconds


def one_in_ten(rng: random.Random) -> Callable[[], bool]:
    """Tells, each time it is asked, whether a defect shows that shows in one of ten tries."""
    return lambda: rng.random() < 0.1


def always() -> bool:
    """For a defect that shows every time."""
    return True
