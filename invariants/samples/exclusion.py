"""A lock that stands in line: readers share it, or so many hold it at once; first come, first served."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from invariants.machine import Refused
from invariants.samples.base import Make, Shows, Twin, always, network, one_in_ten
from invariants.targets.base import Target

Planted = Literal[
    "",
    "looks, then takes",
    "is not given back",
    "lets in one too many",
    "readers do not look for writers",
    "serves the last first",
    "readers pass waiting writers",
]


@dataclass
class Locks(Target):
    """shows: asked for each sequence, for what takes a race shows seldom enough. patience_s: who has waited
    so long is told that others hold it."""

    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    capacity: int = 1
    patience_s: float = 0.02
    kept: dict[str, Line] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Line:
        return self.kept.setdefault(scope, Line(self))

    def forget(self, scope: str) -> None:
        self.kept.pop(scope, None)


@dataclass(eq=False)
class _Waiter:
    shared: bool
    arrived_s: float
    granted_s: float = 0.0
    granted: threading.Event = field(default_factory=threading.Event)


class Line:
    """What the clients of one scope share."""

    def __init__(self, settings: Locks) -> None:
        self._settings = settings
        self._planted: Planted = settings.planted if settings.shows() else ""
        self._guard = threading.Lock()
        self._waiters: list[_Waiter] = []
        self._readers = self._writers = 0

    def acquire(self) -> dict[str, float] | None:
        if self._planted == "looks, then takes" and not self._writers:
            network()
            self._writers += 1
            network()
            return None
        return self._stand_in_line(shared=False)

    def acquire_shared(self) -> dict[str, float] | None:
        return self._stand_in_line(shared=True)

    def release(self) -> None:
        network()
        with self._guard:
            self._writers -= not self._plants("is not given back")
            self._serve()

    def release_shared(self) -> None:
        network()
        with self._guard:
            self._readers -= 1
            self._serve()

    def _stand_in_line(self, shared: bool) -> dict[str, float]:
        with self._guard:
            waiter = _Waiter(shared, self._settings.clock())
            self._waiters.append(waiter)
            self._serve()
        if not waiter.granted.wait(self._settings.patience_s):
            with self._guard:
                if not waiter.granted.is_set():
                    self._waiters.remove(waiter)
                    self._serve()
                    raise Refused("held")
        network()
        return {"arrived_s": waiter.arrived_s, "waiting_s": waiter.granted_s}

    def _serve(self) -> None:
        while self._waiters:
            waiter = self._waiters[self._next()]
            if not self._may(waiter.shared):
                return
            self._waiters.remove(waiter)
            self._readers += waiter.shared
            self._writers += not waiter.shared
            waiter.granted_s = self._settings.clock()
            waiter.granted.set()

    def _next(self) -> int:
        if self._plants("serves the last first"):
            return -1
        readers = [place for place, waiter in enumerate(self._waiters) if waiter.shared]
        return readers[0] if readers and self._plants("readers pass waiting writers") else 0

    def _may(self, shared: bool) -> bool:
        if shared:
            return not self._writers or self._plants("readers do not look for writers")
        return not self._readers and self._writers < self._settings.capacity + self._plants(
            "lets in one too many"
        )

    def _plants(self, planted: Planted) -> bool:
        return self._planted == planted


def _twins(
    planted: Planted,
    known_minimum: int,
    options: Mapping[str, Any] | None = None,
    concurrency: int = 4,
    invariant: str = "locks_exclude",
) -> dict[str, Twin]:
    given = dict(options or {})
    capacity = int(given.get("capacity", 1))

    def now_and_then(rng: random.Random) -> Locks:
        return Locks(planted, one_in_ten(rng), capacity)

    return {
        planted: Twin(
            lambda rng: Locks(planted, capacity=capacity), known_minimum, given, concurrency, invariant
        ),
        f"{planted}, 1 in 10": Twin(now_and_then, known_minimum, given, concurrency, invariant),
    }


def _correct(rng: random.Random) -> Locks:
    return Locks()


CORRECT: Make = _correct

IN_TURN = {"most_overtaken": 0}
WRITERS = "writers_are_alone"
TWINS = {
    **_twins("looks, then takes", 2),
    **_twins("is not given back", 2, concurrency=1),
    **_twins("lets in one too many", 3, {"capacity": 2, "hold_s": 0.002}, concurrency=8),
    **_twins("serves the last first", 3, IN_TURN),
    **_twins("readers do not look for writers", 2, invariant=WRITERS),
    **_twins("readers pass waiting writers", 3, IN_TURN, invariant=WRITERS),
}
