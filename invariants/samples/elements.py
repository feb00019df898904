"""Sets of elements."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping

from invariants.samples.base import Shows, Twin, one_in_ten
from invariants.samples.in_process import InProcess, Link, Race

ROOM = 4


class Elements:
    def __init__(self) -> None:
        self.elements: list[int] = []
        self.lock = threading.Lock()

    def add(self, element: int) -> None:
        with self.lock:
            self.elements.append(element)

    def read(self) -> list[int]:
        with self.lock:
            return list(self.elements)


class Linked(Elements):
    """Correct, on a way that is not."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._link = Link(rng)

    def add(self, element: int) -> None:
        self._link.send(lambda: super(Linked, self).add(element))

    def read(self) -> list[int]:
        return self._link.send(super().read)


class NoRoom(Elements):
    """The oldest goes when there are more than ROOM."""

    def add(self, element: int) -> None:
        with self.lock:
            self.elements = [*self.elements, element][-ROOM:]


class ReadsACopy(Elements):
    """It is made anew after each read."""

    def __init__(self) -> None:
        super().__init__()
        self._copy: list[int] = []

    def read(self) -> list[int]:
        with self.lock:
            found, self._copy = self._copy, list(self.elements)
            return found


class AcknowledgedAndDropped(Elements):
    def __init__(self, drops: Shows) -> None:
        super().__init__()
        self._drops = drops

    def add(self, element: int) -> None:
        if not self._drops():
            super().add(element)


class ReadsThenWrites(Elements):
    """Of two that add at the same time one is lost."""

    def __init__(self) -> None:
        super().__init__()
        self._race = Race()

    def add(self, element: int) -> None:
        before = self.read()
        self._race.meet()
        self.elements = [*before, element]
        self._race.end()


def CORRECT(rng: random.Random) -> InProcess:
    return InProcess(lambda: Linked(rng))


TWINS: Mapping[str, Twin] = {
    "the oldest goes when there is no room": Twin(lambda rng: InProcess(NoRoom), ROOM + 1),
    "reads come from a stale copy": Twin(lambda rng: InProcess(ReadsACopy), 1),
    "acknowledged and dropped, 1 of 10": Twin(
        lambda rng: InProcess(lambda: AcknowledgedAndDropped(one_in_ten(rng))), 1
    ),
    "two that add at once overwrite each other": Twin(
        lambda rng: InProcess(ReadsThenWrites), 2, concurrency=4
    ),
}
