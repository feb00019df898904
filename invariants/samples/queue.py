"""A queue in memory, as it would be kept by something behind a network."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Literal

from invariants.samples.base import Make, Shows, Twin, always, network, one_in_ten
from invariants.targets.base import Target

Planted = Literal[
    "",
    "accepts and forgets",
    "enqueues at once overwrite each other",
    "forgets when it is long",
    "gives a message again",
    "drain forgets the last",
]
LONG = 4


@dataclass
class Queue(Target):
    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    kept: dict[str, Messages] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Messages:
        return self.kept.setdefault(scope, Messages(self))

    def forget(self, scope: str) -> None:
        self.kept.pop(scope, None)


class Messages:
    """What the clients of one scope share."""

    def __init__(self, settings: Queue) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._messages: tuple[int, ...] = ()

    def enqueue(self, message: int) -> None:
        if self._plants("enqueues at once overwrite each other"):
            before = self._messages
            network()
            self._messages = (*before, message)
            return
        network()
        with self._lock:
            if self._plants("accepts and forgets"):
                return
            if len(self._messages) >= LONG and self._plants("forgets when it is long"):
                return
            self._messages = (*self._messages, message)

    def dequeue(self) -> int | None:
        with self._lock:
            if not self._messages:
                return None
            first, *others = self._messages
            if not self._plants("gives a message again"):
                self._messages = tuple(others)
            return first

    def drain(self) -> list[int]:
        with self._lock:
            messages, self._messages = self._messages, ()
            return list(messages[:-1] if self._plants("drain forgets the last") else messages)

    def _plants(self, planted: Planted) -> bool:
        return self._settings.planted == planted and self._settings.shows()


def _twins(planted: Planted, known_minimum: int, concurrency: int = 1) -> dict[str, Twin]:
    def now_and_then(rng: random.Random) -> Queue:
        return Queue(planted, one_in_ten(rng))

    return {
        planted: Twin(lambda rng: Queue(planted), known_minimum, concurrency=concurrency),
        f"{planted}, 1 in 10": Twin(now_and_then, known_minimum, concurrency=concurrency),
    }


def _correct(rng: random.Random) -> Queue:
    return Queue()


CORRECT: Make = _correct

TWINS = {
    **_twins("accepts and forgets", 1),
    **_twins("enqueues at once overwrite each other", 2, concurrency=4),
    **_twins("forgets when it is long", LONG + 1),
    **_twins("gives a message again", 2),
    **_twins("drain forgets the last", 1),
}
