"""What is made when it is first wanted, under a lock that is looked at twice (double-checked locking)."""

from __future__ import annotations

import itertools
import random
import threading
from dataclasses import dataclass, field
from typing import Literal

from invariants.samples.base import Make, Shows, Twin, always, network, one_in_ten
from invariants.targets.base import Target

MAKING_TRIPS = 10
"""What is made only when it is wanted is what takes long to make."""

AWAY_TRIPS = (0, 2, 5)
"""How far those who ask are, in turn: not all come at the same moment, and none after it is made."""

Planted = Literal["", "has no lock", "does not look again", "shows it before it is made"]


@dataclass
class Lazy(Target):
    """shows: asked for each sequence, for what takes a race shows seldom enough."""

    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    kept: dict[str, Instances] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Instances:
        return self.kept.setdefault(scope, Instances(self))

    def forget(self, scope: str) -> None:
        self.kept.pop(scope, None)


class Instances:
    """What the clients of one scope share. An instance is its number."""

    def __init__(self, settings: Lazy) -> None:
        self._planted: Planted = settings.planted if settings.shows() else ""
        self._guard = threading.Lock()
        self._instances: dict[str, int] = {}
        self._made: list[str] = []
        self._away = itertools.cycle(AWAY_TRIPS)

    def get(self, name: str) -> int:
        network(next(self._away))
        if name in self._instances:
            return self._instances[name]
        if self._plants("has no lock"):
            return self._make(name)
        network()
        with self._guard:
            if name in self._instances and not self._plants("does not look again"):
                return self._instances[name]
            return self._make(name)

    def executions(self) -> list[str]:
        return list(self._made)

    def _make(self, name: str) -> int:
        if self._plants("shows it before it is made"):
            self._instances[name] = 0
        network(MAKING_TRIPS)
        self._made.append(name)
        number = len(self._made)
        self._instances[name] = number
        return number

    def _plants(self, planted: Planted) -> bool:
        return self._planted == planted


def _twins(planted: Planted) -> dict[str, Twin]:
    def now_and_then(rng: random.Random) -> Lazy:
        return Lazy(planted, one_in_ten(rng))

    return {
        planted: Twin(lambda rng: Lazy(planted), 2, concurrency=4),
        f"{planted}, 1 in 10": Twin(now_and_then, 2, concurrency=4),
    }


def _correct(rng: random.Random) -> Lazy:
    return Lazy()


CORRECT: Make = _correct

TWINS = {
    **_twins("has no lock"),
    **_twins("does not look again"),
    **_twins("shows it before it is made"),
}
