"""Messages between workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from invariants.checkers.delivery import Delivery
from invariants.machines.queue import QueueNeverLosesMessages


@dataclass
class MessagesStayInOrder(QueueNeverLosesMessages):
    """order: `sender`, of one connection; `all`, also of different ones."""

    name = "messages_stay_in_order"
    reason = (
        "'Cancelled' before 'ordered', or an older price after a newer one: the last word is the wrong one."
    )
    needs = "enqueue, dequeue, drain"

    order: Literal["sender", "all"] = "sender"

    @property
    def statement(self) -> str:
        times = "at least once" if self.at_least_once else "exactly once"
        whose = "its sender's" if self.order == "sender" else "all"
        return f"Each message comes {times}, and after {whose} earlier ones."

    @property
    def checker(self) -> Delivery:
        return Delivery(self.order, self.at_least_once)
