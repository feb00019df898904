"""A counter, or what is left of something that is sold."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Literal

from invariants.machine import Refused
from invariants.samples.base import Make, Shows, Twin, always, network, one_in_ten
from invariants.targets.base import Target

Planted = Literal["", "reads, then writes", "adds twice", "looks, then takes", "keeps the last"]


@dataclass
class Stock(Target):
    """shows: asked for each sequence, for what takes a race shows seldom enough."""

    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    kept: dict[str, Amount] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Amount:
        return self.kept.setdefault(scope, Amount(self))

    def forget(self, scope: str) -> None:
        self.kept.pop(scope, None)


class Amount:
    """What the clients of one scope share."""

    def __init__(self, settings: Stock) -> None:
        self._planted: Planted = settings.planted if settings.shows() else ""
        self._guard = threading.Lock()
        self._there = 0

    def add(self, amount: int) -> None:
        if self._plants("reads, then writes"):
            before = self._there
            network()
            self._there = before + amount
            return
        network()
        with self._guard:
            self._there += 2 * amount if self._plants("adds twice") else amount

    def read(self) -> int:
        with self._guard:
            return self._there

    def take(self, amount: int) -> None:
        if self._plants("looks, then takes"):
            self._look(amount)
            network()
            with self._guard:
                self._there -= amount
            return
        network()
        with self._guard:
            self._look(amount)
            self._there -= amount

    def _look(self, amount: int) -> None:
        if self._there < amount + self._plants("keeps the last"):
            raise Refused("too little")

    def _plants(self, planted: Planted) -> bool:
        return self._planted == planted


def _twins(planted: Planted, known_minimum: int, concurrency: int, invariant: str) -> dict[str, Twin]:
    def now_and_then(rng: random.Random) -> Stock:
        return Stock(planted, one_in_ten(rng))

    return {
        planted: Twin(
            lambda rng: Stock(planted), known_minimum, concurrency=concurrency, invariant=invariant
        ),
        f"{planted}, 1 in 10": Twin(
            now_and_then, known_minimum, concurrency=concurrency, invariant=invariant
        ),
    }


def _correct(rng: random.Random) -> Stock:
    return Stock()


CORRECT: Make = _correct

TWINS = {
    **_twins("reads, then writes", 2, 4, "counters_are_exact"),
    **_twins("adds twice", 1, 1, "counters_are_exact"),
    **_twins("looks, then takes", 2, 4, "stock_is_never_oversold"),
    **_twins("keeps the last", 2, 1, "stock_is_never_oversold"),
}
