"""A map in two parts with a lock each; an iteration goes through one part after the other."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Literal

from invariants.samples.base import Make, Shows, Twin, always, network, one_in_ten
from invariants.targets.base import Target

Planted = Literal["", "iterates what others change", "copies, then changes", "deletes from one part only"]
PARTS = 2


@dataclass
class Maps(Target):
    """shows: asked for each sequence, for what takes a race shows seldom enough."""

    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    kept: dict[str, Entries] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Entries:
        return self.kept.setdefault(scope, Entries(self))

    def forget(self, scope: str) -> None:
        self.kept.pop(scope, None)


class Entries:
    """What the clients of one scope share."""

    def __init__(self, settings: Maps) -> None:
        self._planted: Planted = settings.planted if settings.shows() else ""
        self._parts: list[dict[str, int]] = [{} for _ in range(PARTS)]
        self._guards = [threading.Lock() for _ in range(PARTS)]

    def put(self, key: str, value: int) -> None:
        part = _part(key)
        if self._plants("copies, then changes"):
            before = self._parts[part]
            network(10)
            self._parts[part] = {**before, key: value}
            return
        network()
        with self._guards[part]:
            self._parts[part][key] = value

    def delete(self, key: str) -> None:
        network()
        part = _part(key)
        if part and self._plants("deletes from one part only"):
            return
        with self._guards[part]:
            self._parts[part].pop(key, None)

    def get(self, key: str) -> int | None:
        with self._guards[_part(key)]:
            return self._parts[_part(key)].get(key)

    def items(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for part, guard in enumerate(self._guards):
            network(2)
            if self._plants("iterates what others change"):
                for key, value in self._parts[part].items():
                    network(30)
                    found[key] = value
                continue
            with guard:
                found |= self._parts[part]
        return found

    def _plants(self, planted: Planted) -> bool:
        return self._planted == planted


def _part(key: str) -> int:
    return ord(key[0]) % PARTS


def _twins(planted: Planted, known_minimum: int, concurrency: int) -> dict[str, Twin]:
    def now_and_then(rng: random.Random) -> Maps:
        return Maps(planted, one_in_ten(rng))

    return {
        planted: Twin(lambda rng: Maps(planted), known_minimum, concurrency=concurrency),
        f"{planted}, 1 in 10": Twin(now_and_then, known_minimum, concurrency=concurrency),
    }


def _correct(rng: random.Random) -> Maps:
    return Maps()


CORRECT: Make = _correct

TWINS = {
    # A race that is rare enough as it is.
    "iterates what others change": Twin(lambda rng: Maps("iterates what others change"), 3, concurrency=4),
    **_twins("copies, then changes", 2, 4),
    **_twins("deletes from one part only", 2, 1),
}
