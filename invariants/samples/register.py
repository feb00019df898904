"""Stores of registers."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping

from invariants.samples.base import Shows, Twin, one_in_ten
from invariants.samples.in_process import InProcess, Link, Race


class Registers:
    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.lock = threading.Lock()

    def read(self, key: str) -> int | None:
        with self.lock:
            return self.values.get(key)

    def write(self, key: str, value: int) -> None:
        with self.lock:
            self.values[key] = value

    def cas(self, key: str, old: int | None, new: int) -> bool:
        with self.lock:
            if self.values.get(key) != old:
                return False
            self.values[key] = new
            return True


class Linked(Registers):
    """Correct registers, on a way that is not."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._link = Link(rng)

    def read(self, key: str) -> int | None:
        return self._link.send(lambda: super(Linked, self).read(key))

    def write(self, key: str, value: int) -> None:
        self._link.send(lambda: super(Linked, self).write(key, value))

    def cas(self, key: str, old: int | None, new: int) -> bool:
        return self._link.send(lambda: super(Linked, self).cas(key, old, new))


class ReadsFromAReplica(Registers):
    """It is behind by the last write of each key."""

    def __init__(self) -> None:
        super().__init__()
        self._replica: dict[str, int] = {}

    def read(self, key: str) -> int | None:
        with self.lock:
            return self._replica.get(key)

    def write(self, key: str, value: int) -> None:
        with self.lock:
            if key in self.values:
                self._replica[key] = self.values[key]
            self.values[key] = value


class AcknowledgedAndDropped(Registers):
    def __init__(self, drops: Shows) -> None:
        super().__init__()
        self._drops = drops

    def write(self, key: str, value: int) -> None:
        if not self._drops():
            super().write(key, value)


class ComparesThenSets(Registers):
    """Between the one and the other somebody else may come, whose update is lost."""

    def __init__(self) -> None:
        super().__init__()
        self._race = Race()

    def write(self, key: str, value: int) -> None:
        super().write(key, value)
        self._race.end()

    def cas(self, key: str, old: int | None, new: int) -> bool:
        same = self.read(key) == old
        if same:
            self._race.meet()
            super().write(key, new)
        self._race.end()
        return same


def CORRECT(rng: random.Random) -> InProcess:
    return InProcess(lambda: Linked(rng))


TWINS: Mapping[str, Twin] = {
    "reads come from a replica": Twin(lambda rng: InProcess(ReadsFromAReplica), 2),
    "a write is acknowledged and dropped, 1 of 10": Twin(
        lambda rng: InProcess(lambda: AcknowledgedAndDropped(one_in_ten(rng))), 2
    ),
    "compare-and-set loses updates": Twin(lambda rng: InProcess(ComparesThenSets), 2, concurrency=4),
}
