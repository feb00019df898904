"""Updates on condition: what somebody else changed in between is noticed (optimistic locking, If-Match).

An update is based on what its client read before. From the end of that read to the start of the write nothing
may change, or the change is overwritten by somebody who never saw it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation

CONFLICT = "conflict"
"""The error of an update that was refused because somebody else had changed what it was based on."""


@dataclass(frozen=True, slots=True)
class ConditionalUpdates:
    """`update` of a key with the new value as value, and {"read", "from_s", "until_s"} as result: the value
    that it is based on, when that had been read, and when the write was sent, on the clock of the history.

    Without these: `read` of a key, and `update` of it by the same process, based on that process's last read.
    An update with no read since its process's last one is not judged: who knows what it is based on.
    """

    @property
    def name(self) -> str:
        return "conditional-updates"

    def check(self, history: History) -> Checked:
        violations, seen, accepted = list[Violation](), {"updates": 0, "conflicts": 0}, 0
        for operations in history.by_key().values():
            done = sorted(_based(operations), key=lambda based: based.from_s)
            violations += self._overwritten(done)
            updates = [op for op in operations if op.kind == "update"]
            accepted += sum(op.happened for op in updates)
            seen["updates"] += len(done)
            seen["conflicts"] += sum(op.error == CONFLICT for op in updates)
        doubt = ""
        if not seen["updates"]:
            doubt = "no update was accepted" + (
                " that came after a read of the same user" if accepted else ""
            )
        elif not violations and not seen["conflicts"]:
            doubt = "no two updates met"
        return Checked(tuple(violations), doubt, seen)

    def _overwritten(self, done: Sequence[_Based]) -> list[Violation]:
        """Pairs of accepted updates that both had read before either of them wrote."""
        violations, ended = [], sorted(done, key=_end_s)
        for place, based in enumerate(done):
            for other in done[place + 1 :]:
                if other.from_s >= based.until_s:
                    break  # as all that follow: they are in order of their reads
                if based.from_s < other.until_s:
                    first, last = sorted([based, other], key=_end_s)
                    violations.append(self._of(first, last, ended))
                    break
        return violations

    def _of(self, first: _Based, last: _Based, ended: Sequence[_Based]) -> Violation:
        """ended: all, in order of their ends."""
        over, back = first.update, False
        for each in reversed(ended[: bisect_left(ended, last.until_s, key=_end_s)]):
            if _end_s(each) <= last.from_s:
                break  # as all before it
            if last.from_s < each.until_s:
                over, back = each.update, each.update.value == last.found
                break
        what = ", which had set the same value again" if back else ""
        title = f"an update was accepted although another came after what it was based on{what}"
        shown = (over, *last.read, last.update)
        anomaly = "ABA" if back else "lost update"
        return Violation(self.name, f"{title}: {last.update}", shown, anomaly)


@dataclass(frozen=True, slots=True)
class _Based:
    """An accepted update; found: what was read before, from_s: when it had been; until_s: when the write was
    sent. read: the operation that read it, if it is one of its own."""

    update: Operation
    found: Any
    from_s: float
    until_s: float
    read: tuple[Operation, ...] = ()


def _end_s(based: _Based) -> float:
    return based.update.end_s


def _based(operations: Sequence[Operation]) -> Iterator[_Based]:
    """Those that were accepted, of one key, of which it is known what they are based on."""
    read: dict[str, Operation] = {}
    for op in sorted(operations, key=lambda op: op.number):
        if op.kind == "read" and op.happened:
            read[op.process] = op
        elif op.kind == "update":
            before, told = read.pop(op.process, None), op.result
            if op.happened and isinstance(told, dict) and {"read", "from_s", "until_s"} <= told.keys():
                yield _Based(op, told["read"], float(told["from_s"]), float(told["until_s"]))
            elif op.happened and before is not None:
                yield _Based(op, before.result, before.end_s, op.start_s, (before,))
