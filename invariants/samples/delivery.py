"""A channel between workers: one line, taken from under a lock."""

from __future__ import annotations

import random
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from invariants.samples.base import Make, Shows, Twin, always, network, one_in_ten
from invariants.targets.base import Target

Planted = Literal["", "takes the newest", "spreads over two lines", "looks, then takes", "loses the line"]


@dataclass
class Channel(Target):
    """shows: asked for each sequence, for what takes a race shows seldom enough."""

    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    kept: dict[str, Messages] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Messages:
        return self.kept.setdefault(scope, Messages(self))

    def forget(self, scope: str) -> None:
        self.kept.pop(scope, None)


class Messages:
    """What the clients of one scope share. The second line is used by a twin only."""

    def __init__(self, settings: Channel) -> None:
        self._planted: Planted = settings.planted if settings.shows() else ""
        self._guard = threading.Lock()
        self._lines: tuple[deque[int], deque[int]] = (deque(), deque())
        self._count = 0

    def enqueue(self, message: int) -> None:
        network()
        with self._guard:
            self._count += 1
            second = self._count % 2 == 0 and self._plants("spreads over two lines")
            if not self._plants("loses the line"):
                self._lines[second].append(message)

    def dequeue(self) -> int | None:
        line = next((line for line in self._lines if line), None)
        if line and self._plants("looks, then takes"):
            message = line[0]
            network(10)
            with self._guard:
                if message in line:
                    line.remove(message)
            return message
        network()
        with self._guard:
            return self._take()

    def drain(self) -> list[int]:
        with self._guard:
            return [message for message in iter(self._take, None) if message is not None]

    def _take(self) -> int | None:
        line = next((line for line in self._lines if line), None)
        if line is None:
            return None
        return line.pop() if self._plants("takes the newest") else line.popleft()

    def _plants(self, planted: Planted) -> bool:
        return self._planted == planted


def _twins(planted: Planted, known_minimum: int, concurrency: int = 1) -> dict[str, Twin]:
    def now_and_then(rng: random.Random) -> Channel:
        return Channel(planted, one_in_ten(rng))

    return {
        planted: Twin(lambda rng: Channel(planted), known_minimum, concurrency=concurrency),
        f"{planted}, 1 in 10": Twin(now_and_then, known_minimum, concurrency=concurrency),
    }


def _correct(rng: random.Random) -> Channel:
    return Channel()


CORRECT: Make = _correct

TWINS = {
    **_twins("takes the newest", 2),
    **_twins("spreads over two lines", 3),
    **_twins("looks, then takes", 3, concurrency=4),
    **_twins("loses the line", 1),
}
