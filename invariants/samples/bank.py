"""Banks."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping

from invariants.machine import Refused
from invariants.samples.base import Shows, Twin, one_in_ten
from invariants.samples.in_process import InProcess, Link, Race

OPENING = {"a": 10, "b": 10, "c": 10}


class Accounts:
    def __init__(self) -> None:
        self.balances = dict(OPENING)
        self.lock = threading.Lock()

    def transfer(self, source: str, target: str, amount: int) -> None:
        with self.lock:
            if self.balances[source] < amount:
                raise Refused("not enough money")
            self.balances[source] -= amount
            self.balances[target] += amount

    def read(self) -> dict[str, int]:
        with self.lock:
            return dict(self.balances)


class Linked(Accounts):
    """Correct, on a way that is not."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._link = Link(rng)

    def transfer(self, source: str, target: str, amount: int) -> None:
        self._link.send(lambda: super(Linked, self).transfer(source, target, amount))

    def read(self) -> dict[str, int]:
        return self._link.send(super().read)


class ReadsThenWrites(Accounts):
    """Between the one and the other somebody else may come."""

    def __init__(self) -> None:
        super().__init__()
        self._race = Race()

    def transfer(self, source: str, target: str, amount: int) -> None:
        before = self.read()
        if before[source] < amount:
            raise Refused("not enough money")
        if source != target:
            self._race.meet()
            self.balances[source] = before[source] - amount
            self.balances[target] = before[target] + amount
        self._race.end()


class Overdraws(Accounts):
    def transfer(self, source: str, target: str, amount: int) -> None:
        with self.lock:
            self.balances[source] -= amount
            self.balances[target] += amount


class LosesWhatOneSendsToOneself(Accounts):
    def transfer(self, source: str, target: str, amount: int) -> None:
        with self.lock:
            left, raised = self.balances[source] - amount, self.balances[target] + amount
            if left < 0:
                raise Refused("not enough money")
            self.balances[target] = raised
            self.balances[source] = left


class ForgetsToCredit(Accounts):
    def __init__(self, forgets: Shows) -> None:
        super().__init__()
        self._forgets = forgets

    def transfer(self, source: str, target: str, amount: int) -> None:
        super().transfer(source, target, amount)
        if self._forgets():
            with self.lock:
                self.balances[target] -= amount


class Bank(InProcess):
    accounts: Mapping[str, int] = OPENING


def CORRECT(rng: random.Random) -> Bank:
    return Bank(lambda: Linked(rng))


TWINS: Mapping[str, Twin] = {
    "transfers at once overwrite each other": Twin(lambda rng: Bank(ReadsThenWrites), 2, concurrency=4),
    "accounts are overdrawn": Twin(lambda rng: Bank(Overdraws), 2),
    "what one sends to oneself is lost": Twin(lambda rng: Bank(LosesWhatOneSendsToOneself), 1),
    "the credit is forgotten, 1 of 10": Twin(lambda rng: Bank(lambda: ForgetsToCredit(one_in_ten(rng))), 1),
}
