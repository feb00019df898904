"""Queues: what was accepted comes out, once, and nothing else does.

The `total-queue` of Jepsen: in the end the queue is drained, so all that was accepted must have come out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class TotalQueue:
    """`enqueue` with a message as value; `dequeue`, and `drain` at the end, with messages as result.

    A dequeue's result is one message or null where there was none; a drain's is a list of messages, and it
    leaves the queue empty. at_least_once: the queue promises no more, so a message may come twice.
    """

    at_least_once: bool = False

    @property
    def name(self) -> str:
        return "total-queue"

    def check(self, history: History) -> Checked:
        asked = {_key(op.value): op for op in history.of("enqueue")}
        came: dict[Any, list[Operation]] = defaultdict(list)
        for operation in history.of("dequeue", "drain"):
            if operation.happened:
                for message in _messages(operation):
                    came[_key(message)].append(operation)
        violations = []
        drained_s = max((op.start_s for op in history.of("drain") if op.happened), default=-math.inf)
        missing = [op for key, op in asked.items() if op.happened and key not in came]
        lost = [op for op in missing if op.end_s < drained_s]
        # A dequeue without an answer may have taken a message with it, a drain any number of them.
        taken = sum(op.outcome == "info" for op in history.of("dequeue"))
        emptied = any(op.outcome == "info" for op in history.of("drain"))
        if len(lost) > taken and not emptied:
            violations.append(self._of("lost", f"{len(lost)} accepted messages never came out", lost))
        for key, operations in came.items():
            asking = asked.get(key)
            if asking is None or asking.outcome == "fail":
                what = "was never enqueued" if asking is None else "was refused when it was enqueued"
                shown = [*([asking] if asking else []), *operations]
                violations.append(self._of("unexpected", f"a message came out that {what}: {key}", shown))
            elif len(operations) > 1 and not self.at_least_once:
                title = f"a message came out {len(operations)} times: {key}"
                violations.append(self._of("duplicated", title, [asking, *operations]))
        seen = {
            "enqueued": sum(op.happened for op in asked.values()),
            "dequeued": sum(map(len, came.values())),
        }
        return Checked(tuple(violations), _doubt(seen["enqueued"], missing, lost, taken, emptied), seen)

    def _of(self, anomaly: str, title: str, operations: list[Operation]) -> Violation:
        return Violation(self.name, title, tuple(operations), anomaly)


def _doubt(enqueued: int, missing: list[Operation], lost: list[Operation], taken: int, emptied: bool) -> str:
    if not enqueued:
        return "nothing was accepted by the queue"
    if len(missing) > len(lost):
        left = len(missing) - len(lost)
        return f"the queue was never drained after that, so {left} messages may still be in it"
    if lost and emptied:
        return f"a drain had no answer, and may have taken the {len(lost)} messages that are missing"
    if 0 < len(lost) <= taken:
        return f"{taken} dequeues had no answer, and may have taken the {len(lost)} messages that are missing"
    return ""


def _messages(operation: Operation) -> list[Any]:
    if operation.kind == "drain":
        return list(operation.result or ())
    return [] if operation.result is None else [operation.result]


def _key(message: Any) -> Any:
    return message if isinstance(message, str | int | float | bool) else repr(message)
