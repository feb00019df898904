"""A queue gives what it accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from invariants.checkers.base import Checker
from invariants.checkers.queue import TotalQueue
from invariants.machine import Machine, fresh, rule


@dataclass
class QueueNeverLosesMessages(Machine):
    """at_least_once: the queue promises no more, so a message may come twice."""

    name = "queue_never_loses_messages"
    reason = "An order that was accepted and is gone is noticed by the customer, and by nobody else."
    needs = "enqueue, dequeue, drain"

    at_least_once: bool = False

    @property
    def statement(self) -> str:
        times = "at least once" if self.at_least_once else "exactly once"
        return f"Each message that the queue accepted comes out {times}, and nothing else does."

    @property
    def checker(self) -> Checker:
        return TotalQueue(self.at_least_once)

    @rule(value=fresh(), weight=3)
    def enqueue(self, client: Any, value: int) -> None:
        client.enqueue(value)

    @rule()
    def dequeue(self, client: Any) -> int | None:
        taken: int | None = client.dequeue()
        return taken

    @rule(closing=True)
    def drain(self, client: Any) -> list[int]:
        return list(client.drain())
