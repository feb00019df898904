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
    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    kept: dict[str, Record] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Editor:
        return Editor(self, self.kept.setdefault(scope, Record()))

    def forget(self, scope: str) -> None:
        self.kept.pop(scope, None)


@dataclass
class Record:
    value: str = "A"
    version: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)


class Editor:
    def __init__(self, settings: Records, record: Record) -> None:
        self._settings, self._record = settings, record
        self._read: tuple[str, int] | None = None

    def read(self) -> str:
        network()
        with self._record.guard:
            self._read = self._record.value, self._record.version
        return self._read[0]

    def put(self, value: str) -> None:
        if self._read is None:
            raise Refused("nothing read")
        read, self._read = self._read, None
        network()
        if self._plants("looks, then writes"):
            self._look(read)
            network()
            self._write(value)
            return
        with self._record.guard:
            if not self._plants("overwrites"):
                self._look(read)
            self._write(value)

    def _look(self, read: tuple[str, int]) -> None:
        same = read[1] == self._record.version
        if self._plants("compares the values"):
            same = read[0] == self._record.value
        if not same:
            raise Refused("conflict")

    def _write(self, value: str) -> None:
        self._record.value = value
        self._record.version += 1

    def _plants(self, planted: Planted) -> bool:
        return self._settings.planted == planted and self._settings.shows()


def _twins(planted: Planted) -> dict[str, Twin]:
    def now_and_then(rng: random.Random) -> Records:
        return Records(planted, one_in_ten(rng))

    return {
        planted: Twin(lambda rng: Records(planted), 4, concurrency=4),
        f"{planted}, 1 in 10": Twin(now_and_then, 4, concurrency=4),
    }


def _correct(rng: random.Random) -> Records:
    return Records()


CORRECT: Make = _correct

TWINS = {**_twins("overwrites"), **_twins("looks, then writes"), **_twins("compares the values")}
