"""A service with a few ways to break, in virtual time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from invariants.machine import Refused
from invariants.samples.base import Make, Shows, Twin, VirtualTime, always, never, one_in_ten
from invariants.targets.base import Target

POISON = "poison"
SICK_S = 0.05
QUICK_S, LONG_S = 0.010, 5.0


@dataclass
class Service(Target):
    """Every other time a poisonous request is refused and makes it sick for SICK_S, in which it refuses all.

    refuses, stays_sick, keeps, hangs: whether it refuses the poison each time, never gets well again, does
    not give back what the request held, takes LONG_S over it. in_line: it answers one after the other.
    """

    refuses: Shows = field(default=never, repr=False)
    stays_sick: Shows = field(default=never, repr=False)
    keeps: Shows = field(default=never, repr=False)
    hangs: Shows = field(default=never, repr=False)
    in_line: Shows = field(default=never, repr=False)
    inputs: tuple[str, ...] = ("basket", "search", POISON)
    probes: tuple[str, ...] = ("basket", "search")
    time: VirtualTime = field(default_factory=VirtualTime, init=False, repr=False)
    held: int = field(default=0, init=False, repr=False)
    well_s: float = field(default=0.0, init=False, repr=False)
    doses: int = field(default=0, init=False, repr=False)

    def begin(self, scope: str) -> None:
        self.held, self.well_s, self.doses = 0, 0.0, 0

    def connect(self, scope: str) -> Client:
        return Client(self)

    def clock(self) -> float:
        return self.time.clock()

    def sleep(self, seconds: float) -> None:
        self.time.sleep(seconds)


@dataclass
class Client:
    service: Service

    def request(self, value: str) -> None:
        service = self.service
        poisoned = value == POISON and (service.doses % 2 == 0 or service.refuses())
        service.doses += value == POISON
        if poisoned:
            service.held += service.keeps()
            service.well_s = float("inf") if service.stays_sick() else service.clock() + SICK_S
        service.sleep(LONG_S if poisoned and service.hangs() else QUICK_S)
        if poisoned or service.clock() < service.well_s:
            raise Refused("sick")

    def held(self) -> int:
        return self.service.held

    def overtake(self) -> bool | None:
        return not self.service.in_line()


def _correct(rng: random.Random) -> Service:
    return Service()


CORRECT: Make = _correct

ANSWERED, IN_TIME = "requests_are_answered", "requests_end_in_time"
RECOVERS, ALONE = "service_recovers", "nobody_waits_for_others"
TWINS = {
    "an input that is never answered": Twin(lambda rng: Service(refuses=always), 1, invariant=ANSWERED),
    "an input that hangs": Twin(lambda rng: Service(hangs=always), 1, invariant=IN_TIME),
    "an input that hangs in one of ten tries": Twin(
        lambda rng: Service(hangs=one_in_ten(rng)), 1, invariant=IN_TIME
    ),
    "sick for ever": Twin(lambda rng: Service(stays_sick=always), 1, invariant=RECOVERS),
    "what a failed request held is kept": Twin(lambda rng: Service(keeps=always), 1, invariant=RECOVERS),
    "one after the other": Twin(lambda rng: Service(in_line=always), 1, invariant=ALONE),
}
