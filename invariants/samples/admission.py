"""A door that looks at tokens."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from invariants.samples.base import Make, Shows, Twin, VirtualTime, always, never, one_in_ten
from invariants.targets.base import Target

BAD = ("forged", "expired", "for another door")


@dataclass
class Door(Target):
    """believes: it lets the expired in. forgets: after a forged one it turns the good away, too."""

    believes: Shows = field(default=never, repr=False)
    forgets: Shows = field(default=never, repr=False)
    bad_tokens: tuple[str, ...] = BAD
    good_tokens: tuple[str, ...] = ("good", "of tomorrow")
    time: VirtualTime = field(default_factory=VirtualTime, init=False, repr=False)
    closed: bool = field(default=False, init=False, repr=False)

    def begin(self, scope: str) -> None:
        self.closed = False

    def connect(self, scope: str) -> Client:
        return Client(self)

    def clock(self) -> float:
        return self.time.clock()

    def sleep(self, seconds: float) -> None:
        self.time.sleep(seconds)


@dataclass
class Client:
    door: Door

    def admitted(self, token: str) -> bool | None:
        if token == "forged" and self.door.forgets():
            self.door.closed = True
        if token == "of tomorrow":
            return None
        if token in self.door.bad_tokens:
            return token == "expired" and self.door.believes()
        return not self.door.closed


def _correct(rng: random.Random) -> Door:
    return Door()


CORRECT: Make = _correct

TWINS = {
    "an expired token is believed": Twin(lambda rng: Door(believes=always), 1),
    "an expired token is believed in one of ten tries": Twin(lambda rng: Door(believes=one_in_ten(rng)), 1),
    "after a forged token nobody gets in": Twin(lambda rng: Door(forgets=always), 2),
}
