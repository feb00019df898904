"""Workers with a line of tasks each, who take over from others when theirs is empty."""

from __future__ import annotations

import random
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from invariants.samples.base import Make, Shows, Twin, always, network, one_in_ten
from invariants.targets.base import Target

Planted = Literal["", "looks, then takes over", "forgets what it takes over"]


@dataclass
class Workers(Target):
    """shows: asked for each sequence, for what takes a race shows seldom enough."""

    planted: Planted = ""
    shows: Shows = field(default=always, repr=False)
    kept: dict[str, Pool] = field(default_factory=dict, init=False, repr=False)

    def connect(self, scope: str) -> Worker:
        return Worker(self.kept.setdefault(scope, Pool(self)))

    def forget(self, scope: str) -> None:
        self.kept.pop(scope, None)


class Pool:
    """What the workers of one scope share."""

    def __init__(self, settings: Workers) -> None:
        self.planted: Planted = settings.planted if settings.shows() else ""
        self.guard = threading.Lock()
        self.lines: list[deque[int]] = []
        self.executed: list[int] = []


class Worker:
    def __init__(self, pool: Pool) -> None:
        self._pool, self._own = pool, deque[int]()
        with pool.guard:
            pool.lines.append(self._own)

    def request(self, task: int) -> None:
        network()
        with self._pool.guard:
            self._own.append(task)

    def work(self) -> bool:
        network()
        task = self._next()
        if task is not None:
            network()
            self._pool.executed.append(task)
        return task is not None

    def executions(self) -> list[int]:
        while self.work():
            pass
        return list(self._pool.executed)

    def _next(self) -> int | None:
        others = any(line for line in self._pool.lines)
        if not self._own and others and self._pool.planted == "looks, then takes over":
            return self._look_then_take()
        with self._pool.guard:
            if self._own:
                return self._own.pop()
            line = next((line for line in self._pool.lines if line), None)
            if line is None:
                return None
            # From the other end than the owner.
            task = line.popleft()
            return line.popleft() if line and self._pool.planted == "forgets what it takes over" else task

    def _look_then_take(self) -> int | None:
        line = next((line for line in self._pool.lines if line), None)
        if line is None:
            return None
        try:
            task = line[-1]
        except IndexError:
            return None
        network(50)
        with self._pool.guard:
            if task in line:
                line.remove(task)
        return task


def _twins(planted: Planted, known_minimum: int, concurrency: int) -> dict[str, Twin]:
    def now_and_then(rng: random.Random) -> Workers:
        return Workers(planted, one_in_ten(rng))

    return {
        planted: Twin(lambda rng: Workers(planted), known_minimum, concurrency=concurrency),
        f"{planted}, 1 in 10": Twin(now_and_then, known_minimum, concurrency=concurrency),
    }


def _correct(rng: random.Random) -> Workers:
    return Workers()


CORRECT: Make = _correct

TWINS = {**_twins("looks, then takes over", 3, 8), **_twins("forgets what it takes over", 2, 4)}
