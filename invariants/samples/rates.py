"""Something that answers requests, in virtual time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from invariants.machine import Refused
from invariants.samples.base import Make, Shows, Twin, VirtualTime, never
from invariants.targets.base import Target

INPUTS = ("basket", "search", "checkout", "profile", "orders")
GUILTY = "checkout"
QUICK_S = 0.010
SLOW_S = 0.150
SHARE = 0.02


@dataclass
class Server(Target):
    """slow, fails: whether the next request is. always_slow, always_fails: the input that is each time."""

    slow: Shows = field(default=never, repr=False)
    fails: Shows = field(default=never, repr=False)
    always_slow: str = ""
    always_fails: str = ""
    inputs: tuple[str, ...] = INPUTS
    time: VirtualTime = field(default_factory=VirtualTime, init=False, repr=False)

    def connect(self, scope: str) -> Client:
        return Client(self)

    def clock(self) -> float:
        return self.time.clock()

    def sleep(self, seconds: float) -> None:
        self.time.sleep(seconds)


@dataclass
class Client:
    server: Server

    def request(self, value: str) -> None:
        slow = self.server.slow() or value == self.server.always_slow
        self.server.sleep(QUICK_S + (SLOW_S if slow else 0.0))
        if self.server.fails() or value == self.server.always_fails:
            raise Refused("500")


def some(rng: random.Random) -> Shows:
    """One request in fifty, by chance."""
    return lambda: rng.random() < SHARE


def _correct(rng: random.Random) -> Server:
    return Server()


CORRECT: Make = _correct

LATENCY, ERRORS = "latency_bounded", "error_rate_limited"
TWINS = {
    "150 ms more on 2 % of the requests": Twin(lambda rng: Server(slow=some(rng)), 0, invariant=LATENCY),
    "one input is slow": Twin(lambda rng: Server(always_slow=GUILTY), 1, invariant=LATENCY),
    "2 % of the requests fail": Twin(lambda rng: Server(fails=some(rng)), 0, invariant=ERRORS),
    "one input fails": Twin(lambda rng: Server(always_fails=GUILTY), 1, invariant=ERRORS),
}
