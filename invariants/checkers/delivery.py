"""Messages between workers: each comes once, and in the order in which it was sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from invariants.checkers.base import Checked, Violation
from invariants.checkers.queue import TotalQueue
from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class Delivery:
    """`enqueue`, `dequeue` and `drain` as TotalQueue has them.

    order: `sender`, messages of one process come in the order in which it sent them; `all`, also those of
    different processes, where one was accepted before the other was sent. Only what surely came later is
    wrong: two that receive at the same time may be told in either order.
    """

    order: Literal["sender", "all"] = "sender"
    at_least_once: bool = False

    @property
    def name(self) -> str:
        return "delivery"

    def check(self, history: History) -> Checked:
        total = TotalQueue(self.at_least_once).check(history)
        came = _arrivals(history)
        senders: dict[str, list[Operation]] = defaultdict(list)
        for each in history.of("enqueue"):
            if repr(each.value) in came:
                senders["" if self.order == "all" else each.process].append(each)
        violations, pairs, doubt = list(total.violations), 0, total.inconclusive
        silent_s = min((op.start_s for op in history.of("dequeue") if op.outcome == "info"), default=None)
        for sent in senders.values():
            pairs += len(sent) - 1
            wrong = _across_answers(sent, came) or _in_one_answer(sent, came, history.of("drain"))
            if wrong is None:
                continue
            sooner, later, after, before = wrong
            if silent_s is not None and silent_s <= after.end_s:
                doubt = doubt or "a dequeue without an answer may have given a message back out of its order"
                continue
            title = f"{sooner.value!r} was sent before {later.value!r} and came after it"
            shown = (sooner, later, after) if after is before else (sooner, later, after, before)
            violations.append(Violation(self.name, title, shown, "out of order"))
        if not doubt and not pairs:
            doubt = "no two messages came" + (" of one sender" if self.order == "sender" else "")
        return Checked(tuple(violations), doubt, {**total.seen, "in order": pairs})


_Wrong = tuple[Operation, Operation, Operation, Operation]
"""(sent first, sent later, the answer the later one came in, the answer the first one came in)"""


def _across_answers(sent: Sequence[Operation], came: Mapping[str, Sequence[Operation]]) -> _Wrong | None:
    """A message that was asked for only after one that was sent later had come."""
    # Of those that were accepted so far, the one that came last.
    last: tuple[Operation, Operation] | None = None
    accepted = iter(sorted(sent, key=lambda op: op.end_s))
    sooner = next(accepted, None)
    for later in sorted(sent, key=lambda op: op.start_s):
        while sooner is not None and sooner.end_s < later.start_s:
            first = min(came[repr(sooner.value)], key=lambda op: op.start_s)
            if last is None or first.start_s > last[1].start_s:
                last = sooner, first
            sooner = next(accepted, None)
        after = min(came[repr(later.value)], key=lambda op: op.end_s)
        if last is not None and after.end_s < last[1].start_s:
            return last[0], later, after, last[1]
    return None


def _in_one_answer(
    sent: Sequence[Operation], came: Mapping[str, Sequence[Operation]], drains: Sequence[Operation]
) -> _Wrong | None:
    """Two messages that stand in the wrong order in the answer of one drain."""
    by_value = {repr(op.value): op for op in sent if len(came[repr(op.value)]) == 1}
    for drain in [op for op in drains if op.happened]:
        latest: Operation | None = None
        for operation in [by_value[repr(each)] for each in drain.result or () if repr(each) in by_value]:
            if latest is not None and operation.end_s < latest.start_s:
                return operation, latest, drain, drain
            if latest is None or operation.start_s > latest.start_s:
                latest = operation
    return None


def _arrivals(history: History) -> dict[str, list[Operation]]:
    """By message, the answers that it came in."""
    came: dict[str, list[Operation]] = defaultdict(list)
    for operation in history.of("dequeue", "drain"):
        if operation.happened and operation.result is not None:
            for message in operation.result if operation.kind == "drain" else [operation.result]:
                came[repr(message)].append(operation)
    return came
