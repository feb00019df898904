"""A cache beside a store: reads fill it, writes go to the store and take the old value out of the cache."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from invariants.samples.base import Make, Shows, Twin, VirtualTime, always, network, one_in_ten
from invariants.targets.base import Target

Planted = Literal["", "no invalidation", "invalidates before it writes", "invalidates too late"]
STALE_S = 1.0
LATE_S = 5.0
COMMIT_TRIPS = 8


@dataclass
class Cached(Target):
    """Time is virtual, for invalidations that come late."""

    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    time: VirtualTime = field(default_factory=VirtualTime, init=False, repr=False)
    kept: dict[str, Entries] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Entries:
        return self.kept.setdefault(scope, Entries(self))

    def forget(self, scope: str) -> None:
        self.kept.pop(scope, None)

    def clock(self) -> float:
        return self.time.clock()

    def sleep(self, seconds: float) -> None:
        self.time.sleep(seconds)


class Entries:
    """What the clients of one scope share."""

    def __init__(self, settings: Cached) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._store: dict[str, int] = {}
        self._cache: dict[str, int | None] = {}
        self._versions = Counter[str]()
        self._late: dict[str, float] = {}

    def read(self, key: str) -> int | None:
        network()
        with self._lock:
            if self._late.get(key, float("inf")) <= self._settings.clock():
                del self._late[key]
                self._invalidate(key)
            if key in self._cache:
                return self._cache[key]
            version, value = self._versions[key], self._store.get(key)
        network()
        with self._lock:
            # What was read while it was written must not be kept: the invalidation is over.
            if version == self._versions[key]:
                self._cache[key] = value
        return value

    def write(self, key: str, value: int) -> None:
        if self._plants("invalidates before it writes"):
            with self._lock:
                self._invalidate(key)
            network(COMMIT_TRIPS)
            with self._lock:
                self._store[key] = value
            return
        network(COMMIT_TRIPS)
        with self._lock:
            self._store[key] = value
            if self._plants("no invalidation"):
                return
            if self._plants("invalidates too late"):
                self._late.setdefault(key, self._settings.clock() + LATE_S)
            else:
                self._invalidate(key)

    def _invalidate(self, key: str) -> None:
        self._versions[key] += 1
        self._cache.pop(key, None)

    def _plants(self, planted: Planted) -> bool:
        return self._settings.planted == planted and self._settings.shows()


def _twins(
    planted: Planted, known_minimum: int, concurrency: int = 1, options: Mapping[str, Any] | None = None
) -> dict[str, Twin]:
    def now_and_then(rng: random.Random) -> Cached:
        return Cached(planted, one_in_ten(rng))

    given = options or {}
    return {
        planted: Twin(lambda rng: Cached(planted), known_minimum, given, concurrency),
        f"{planted}, 1 in 10": Twin(now_and_then, known_minimum, given, concurrency),
    }


def _correct(rng: random.Random) -> Cached:
    return Cached()


CORRECT: Make = _correct

TWINS = {
    **_twins("no invalidation", 2),  # read, write
    **_twins("invalidates before it writes", 2, concurrency=4),
    **_twins("invalidates too late", 2, options={"stale_s": STALE_S}),
}
