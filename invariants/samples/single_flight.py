"""A cache that asks its origin once for all who want the same, and keeps what it got."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from invariants.samples.base import Make, Shows, Twin, always, network, one_in_ten
from invariants.targets.base import Target

Planted = Literal["", "each miss fetches", "keeps nothing", "keeps it too late"]


@dataclass
class Flights(Target):
    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    kept: dict[str, Entries] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Entries:
        return self.kept.setdefault(scope, Entries(self))

    def forget(self, scope: str) -> None:
        self.kept.pop(scope, None)


class Entries:
    """What the clients of one scope share."""

    def __init__(self, settings: Flights) -> None:
        self._settings = settings
        self._guard = threading.Lock()
        self._flights: dict[str, threading.Lock] = {}
        self._cache: dict[str, str] = {}
        self._calls: list[dict[str, Any]] = []

    def get(self, key: str) -> str:
        if key in self._cache:
            return self._cache[key]
        if self._plants("each miss fetches"):
            self._cache[key] = self._fetch(key)
            return self._cache[key]
        with self._flight(key):
            if key in self._cache:
                return self._cache[key]
            value = self._fetch(key)
            nothing, late = self._plants("keeps nothing"), self._plants("keeps it too late")
            if not nothing and not late:
                self._cache[key] = value
        if late:
            network()
            self._cache[key] = value
        return value

    def origin_calls(self) -> list[dict[str, Any]]:
        return list(self._calls)

    def _flight(self, key: str) -> threading.Lock:
        with self._guard:
            return self._flights.setdefault(key, threading.Lock())

    def _fetch(self, key: str) -> str:
        start_s = self._settings.clock()
        network()
        call = {"key": key, "start_s": start_s, "end_s": self._settings.clock(), "ok": True}
        self._calls.append(call)
        return f"value of {key}"

    def _plants(self, planted: Planted) -> bool:
        return self._settings.planted == planted and self._settings.shows()


def _twins(
    planted: Planted, concurrency: int = 1, options: Mapping[str, Any] | None = None
) -> dict[str, Twin]:
    def now_and_then(rng: random.Random) -> Flights:
        return Flights(planted, one_in_ten(rng))

    given = options or {}
    return {
        planted: Twin(lambda rng: Flights(planted), 2, given, concurrency),
        f"{planted}, 1 in 10": Twin(now_and_then, 2, given, concurrency),
    }


def _correct(rng: random.Random) -> Flights:
    return Flights()


CORRECT: Make = _correct

LASTS = {"lasts_s": 60.0}
TWINS = {
    **_twins("each miss fetches", concurrency=4),
    **_twins("keeps nothing", options=LASTS),
    **_twins("keeps it too late", concurrency=4, options=LASTS),
}
