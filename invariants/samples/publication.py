"""Data that are published by a flag."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from invariants.samples.base import Make, Shows, Twin, always, network, one_in_ten
from invariants.targets.base import Target

Planted = Literal["", "sets the flag first", "forgets the flag"]


@dataclass
class Board(Target):
    """shows: asked for each sequence, for what takes a race shows seldom enough."""

    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    kept: dict[str, Page] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Page:
        return self.kept.setdefault(scope, Page(self))

    def forget(self, scope: str) -> None:
        self.kept.pop(scope, None)


class Page:
    """What the clients of one scope share."""

    def __init__(self, settings: Board) -> None:
        self._planted: Planted = settings.planted if settings.shows() else ""
        self._data: dict[int, int] = {}
        self._flag: int | None = None

    def publish(self, number: int) -> None:
        if self._plants("sets the flag first"):
            self._flag = number
            network()
            self._data[number] = number
            return
        self._data[number] = number
        network()
        if not self._plants("forgets the flag"):
            self._flag = number

    def look(self) -> tuple[int | None, int | None]:
        flag = self._flag
        data = None if flag is None else self._data.get(flag)
        network()
        return flag, data

    def _plants(self, planted: Planted) -> bool:
        return self._planted == planted


def _twins(planted: Planted, concurrency: int) -> dict[str, Twin]:
    def now_and_then(rng: random.Random) -> Board:
        return Board(planted, one_in_ten(rng))

    return {
        planted: Twin(lambda rng: Board(planted), 2, concurrency=concurrency),
        f"{planted}, 1 in 10": Twin(now_and_then, 2, concurrency=concurrency),
    }


def _correct(rng: random.Random) -> Board:
    return Board()


CORRECT: Make = _correct

TWINS = {**_twins("sets the flag first", 4), **_twins("forgets the flag", 1)}
