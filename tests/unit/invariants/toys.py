"""Small machines and targets for the tests of what runs and searches."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from chaos_locust.errors import BackendError
from invariants import Machine, NoAnswer, Refused, StateInvariant, Target, TargetDown, fresh, rule
from invariants.checkers.elements import SetFull


@dataclass
class Bag(Target):
    """Elements by scope. down: whether it answers at all. before: called before each operation with its kind
    and the elements that are there."""

    before: Callable[[str, list[int]], None] = lambda kind, there: None
    down: bool = False
    bags: dict[str, list[int]] = field(default_factory=dict)
    opened: int = 0
    closed: int = 0

    def check(self) -> None:
        if self.down:
            raise TargetDown("the bag is not there")

    def connect(self, scope: str) -> Client:
        self.opened += 1
        return Client(self, self.bags.setdefault(scope, []))

    def forget(self, scope: str) -> None:
        self.bags.pop(scope, None)


class Client:
    def __init__(self, bag: Bag, there: list[int]) -> None:
        self._bag, self._there = bag, there

    def add(self, element: int) -> None:
        self._bag.before("add", self._there)
        self._there.append(element)

    def read(self) -> list[int]:
        self._bag.before("read", self._there)
        return list(self._there)

    def close(self) -> None:
        self._bag.closed += 1


@dataclass
class BagKeeps(Machine):
    """What was added stays."""

    name = "bag_keeps"
    checker = SetFull()

    @rule(value=fresh())
    def add(self, client: Client, value: int) -> None:
        client.add(value)

    @rule(weight=1, closing=True)
    def read(self, client: Client) -> list[int]:
        return client.read()


@dataclass
class Numbers(Machine):
    """It only looks at what its steps were."""

    name = "numbers"
    checker = SetFull()

    @rule(weight=3, value=st.integers(0, 9))
    def add(self, client: Client, value: int) -> None:
        client.add(value)

    @rule()
    def nothing(self, client: Client) -> None:
        pass


def invariant(target: Any, machine: type[Machine] = BagKeeps, seed: int = 0) -> StateInvariant:
    return StateInvariant.custom(machine, target).with_kept_in(None).with_seed(seed)


def refuse(kind: str, there: list[int]) -> None:
    raise Refused("not today")


def keep_silent(kind: str, there: list[int]) -> None:
    raise NoAnswer("nothing came")


def loses(rng: random.Random, share: float, room: int = 2) -> Callable[[str, list[int]], None]:
    """When a read finds more elements than there is room for, it takes the first away, in such a share."""

    def lose(kind: str, there: list[int]) -> None:
        if kind == "read" and len(there) > room and rng.random() < share:
            del there[0]

    return lose


class Switches:
    """Faults that are nothing but their names; who asks `acting` can see them."""

    def __init__(self, *names: str, broken: str = "") -> None:
        self.names, self.acting, self._broken = names, set[str](), broken
        self.log: list[str] = []

    def inject(self, name: str) -> None:
        if name == self._broken:
            raise BackendError(f"{name} could not be injected")
        self.acting.add(name)
        self.log.append(f"inject {name}")

    def heal(self, name: str) -> None:
        self.acting.discard(name)
        self.log.append(f"heal {name}")
