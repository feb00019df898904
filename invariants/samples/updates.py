"""A record with a version, which has to be given with each update."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Literal

from invariants.machine import Refused
from invariants.samples.base import Make, Shows, Twin, always, network, one_in_ten
from invariants.targets.base import Target

Planted = Literal["", "overwrites", "looks, then writes", "compares the values"]


@dataclass
class Records(Target):
    """shows: asked for each sequence, for what takes a race shows seldom enough."""

    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    kept: dict[str, Record] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Editor:
        planted: Planted = self.planted if self.shows() else ""
        return Editor(self.kept.setdefault(scope, Record(planted)))

    def forget(self, scope: str) -> None:
        self.kept.pop(scope, None)


@dataclass
class Record:
    planted: Planted
    value: str = "A"
    version: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)


class Editor:
    def __init__(self, record: Record) -> None:
        self._record = record

    def read(self) -> tuple[str, int | str]:
        """The value, and what has to be given with an update that is based on it."""
        network()
        with self._record.guard:
            value, version = self._record.value, self._record.version
        return value, value if self._plants("compares the values") else version

    def put(self, value: str, based_on: int | str) -> None:
        network()
        if self._plants("looks, then writes"):
            self._look(based_on)
            network()
            self._write(value)
            return
        with self._record.guard:
            if not self._plants("overwrites"):
                self._look(based_on)
            self._write(value)

    def _look(self, based_on: int | str) -> None:
        if based_on not in (self._record.version, self._record.value):
            raise Refused("conflict")

    def _write(self, value: str) -> None:
        self._record.value = value
        self._record.version += 1

    def _plants(self, planted: Planted) -> bool:
        return self._record.planted == planted


def _twins(planted: Planted) -> dict[str, Twin]:
    def now_and_then(rng: random.Random) -> Records:
        return Records(planted, one_in_ten(rng))

    return {
        planted: Twin(lambda rng: Records(planted), 2, concurrency=4),
        f"{planted}, 1 in 10": Twin(now_and_then, 2, concurrency=4),
    }


def _correct(rng: random.Random) -> Records:
    return Records()


CORRECT: Make = _correct

TWINS = {
    **_twins("overwrites"),
    **_twins("looks, then writes"),
    "compares the values": Twin(lambda rng: Records("compares the values"), 2, concurrency=4),
}
