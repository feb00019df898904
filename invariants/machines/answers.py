"""Services that answer: whatever acts on what is behind them, in time, and again afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.answers import Answered, EndsInTime, NoneHeldUp, Recovers
from invariants.machine import Machine, NoAnswer, Refused, of_target, rule

INPUTS = of_target(lambda target: st.sampled_from(target.inputs))
POLL_S = 0.1


@dataclass
class RequestsAreAnswered(Machine):
    """tries: so often a request is tried; pause_s: between two of them. wait_s: now and then, for what takes
    its time to show."""

    name = "requests_are_answered"
    reason = "What is behind a service breaks now and then; those who use it need not notice."
    needs = "request, inputs"

    tries: int = 3
    pause_s: float = 0.2
    wait_s: float = 0.6

    @property
    def statement(self) -> str:
        return f"Each request has a good answer within {self.tries} tries, whatever faults act."

    @property
    def checker(self) -> Answered:
        return Answered()

    @rule()
    def wait(self, client: Any) -> None:
        self.target.sleep(self.wait_s)

    @rule(value=INPUTS, weight=4)
    def request(self, client: Any, value: str) -> None:
        for _ in range(self.tries - 1):
            try:
                client.request(value)
                return
            except (Refused, NoAnswer):
                self.target.sleep(self.pause_s)
        client.request(value)


@dataclass
class RequestsEndInTime(Machine):
    """limit_s: so long an answer may take, be it a refusal."""

    name = "requests_end_in_time"
    reason = "Who waits for what hangs holds what others wait for, until nothing works any more."
    needs = "request, inputs"

    limit_s: float = 2.0

    @property
    def statement(self) -> str:
        return f"Each request is answered or refused within {self.limit_s:g} s, whatever faults act."

    @property
    def checker(self) -> EndsInTime:
        return EndsInTime(self.limit_s)

    @rule(value=INPUTS)
    def request(self, client: Any, value: str) -> None:
        client.request(value)


@dataclass
class ServiceRecovers(Machine):
    """recovery_s: so long after the last fault ended it may take. in_a_row: so many requests are answered
    then, one after the other."""

    name = "service_recovers"
    reason = "A fault of seconds must not become an outage that lasts until somebody starts the service anew."
    needs = "request, inputs, probes (inputs that it answers when it is well), held (how much it still holds)"

    recovery_s: float = 5.0
    in_a_row: int = 20

    @property
    def statement(self) -> str:
        return (
            f"Within {self.recovery_s:g} s after the last fault, {self.in_a_row} requests in a row are "
            "answered, and what they held is given back."
        )

    @property
    def checker(self) -> Recovers:
        return Recovers()

    @rule(value=INPUTS)
    def request(self, client: Any, value: str) -> None:
        client.request(value)

    @rule(closing=True)
    def recover(self, client: Any) -> str:
        """What is still broken when the time is over; empty: nothing."""
        end_s = self.target.clock() + self.recovery_s
        while broken := self._broken(client):
            if self.target.clock() > end_s:
                return broken
            self.target.sleep(POLL_S)
        return ""

    def _broken(self, client: Any) -> str:
        try:
            for place in range(self.in_a_row):
                client.request(self.target.probes[place % len(self.target.probes)])
            held = client.held()
        except (Refused, NoAnswer) as error:
            return str(error)
        return f"{held} are still held" if held else ""


@dataclass
class NobodyWaitsForOthers(Machine):
    """tries: a request is held up only if that happens so often in a row; a busy machine holds up, too."""

    name = "nobody_waits_for_others"
    reason = "One customer who has to wait is one; in a line, it is all of them."
    needs = "overtake (whether a request was answered while an earlier one had to wait)"

    tries: int = 3

    @property
    def statement(self) -> str:
        return "A request that has to wait does not hold up the others."

    @property
    def checker(self) -> NoneHeldUp:
        return NoneHeldUp()

    @rule()
    def overtake(self, client: Any) -> bool | None:
        held_up = 0
        for _ in range(2 * self.tries):
            overtook = client.overtake()
            if overtook:
                return True
            held_up += overtook is False
            if held_up == self.tries:
                return False
        return None
