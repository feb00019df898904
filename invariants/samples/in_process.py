"""What the samples of stores have in common: one store for each sequence, a link to it, and races."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from invariants.machine import NoAnswer, Refused
from invariants.targets.base import Target

Result = TypeVar("Result")

RACE_LIMIT_S = 0.002
"""Who is in the middle of a race waits so long for another one to come."""


class InProcess(Target):
    """make: a new store, for each scope. All lanes of a sequence are given the same one."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._stores, self._lock = make, dict[str, Any](), threading.Lock()

    def connect(self, scope: str) -> Any:
        with self._lock:
            if scope not in self._stores:
                self._stores[scope] = self._make()
            return self._stores[scope]

    def forget(self, scope: str) -> None:
        with self._lock:
            self._stores.pop(scope, None)


class Link:
    """The way to a correct store: what is sent over it may be refused, lost, done without an answer, or done
    only later. Those it lets through take effect one after another."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._late, self._lock = rng, list[Callable[[], object]](), threading.RLock()

    def send(self, act: Callable[[], Result]) -> Result:
        """Raises Refused, NoAnswer."""
        with self._lock:
            while self._late and self._rng.random() < 0.5:
                with suppress(Refused):  # nobody waits for what it says
                    self._late.pop()()
            luck = self._rng.random()
            if luck < 0.05:
                raise Refused("not reached")
            if luck < 0.08:
                self._late.append(act)
                raise NoAnswer("it is still on its way")
            result = act()
        if luck < 0.11:
            raise NoAnswer("the answer was lost")
        return result


class Race:
    """Makes it likely that operations meet where a twin has left a door open."""

    def __init__(self) -> None:
        self._came, self._changed = 0, threading.Condition()

    def meet(self) -> None:
        """In the middle of an operation: waits until another one comes to its middle or to its end."""
        with self._changed:
            self._tell()
            mine = self._came
            self._changed.wait_for(lambda: self._came > mine, RACE_LIMIT_S)

    def end(self) -> None:
        """At the end of an operation."""
        with self._changed:
            self._tell()

    def _tell(self) -> None:
        self._came += 1
        self._changed.notify_all()
