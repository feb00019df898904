"""Updates on condition: what somebody else changed in between is noticed (optimistic locking, If-Match).

An update is based on what its client read before. From the end of that read to the start of the write nothing
may change, or the change is overwritten by somebody who never saw it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation
from invariants.checkers.based import (
    CONFLICT,
    Based,
    based_on,
    by_state,
    ended_s,
    together_in_state,
    together_in_time,
    would_be_found,
)
from invariants.history import History, Operation


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
        violations, seen, accepted, met = list[Violation](), {"updates": 0, "conflicts": 0}, 0, 0
        for operations in history.by_key().values():
            based = based_on(operations)
            done = [each for each in based if each.update.happened]
            violations += self._lost(done, operations)
            updates = [op for op in operations if op.kind == "update"]
            conflicts = sum(op.error == CONFLICT for op in updates)
            # Of refusals between which nothing was read no times are known.
            reads = any(op.kind == "read" for op in operations)
            met += would_be_found(based, by_state(based, operations)) if reads else conflicts
            accepted += sum(op.happened for op in updates)
            seen["updates"] += len(done)
            seen["conflicts"] += conflicts
        doubt = ""
        if not seen["updates"]:
            doubt = "no update was accepted" + (
                " that came after a read of the same user" if accepted else ""
            )
        elif not violations and not met:
            doubt = "no two updates met" + (" for certain" if seen["conflicts"] else "")
        return Checked(tuple(violations), doubt, seen)

    def _lost(self, done: Sequence[Based], operations: Sequence[Operation]) -> list[Violation]:
        """done: those accepted, in order of their reads."""
        ended, found = sorted(done, key=ended_s), dict[tuple[str, int], Violation]()
        for first, last in together_in_time(done):
            found.setdefault((last.update.process, last.update.number), self._overwritten(first, last, ended))
        for first, last in together_in_state(by_state(done, operations)):
            key = (last.update.process, last.update.number)
            found.setdefault(key, self._of(first.update, last, back=False))
        return list(found.values())

    def _overwritten(self, first: Based, last: Based, ended: Sequence[Based]) -> Violation:
        """ended: all, in order of their ends."""
        for each in reversed(ended[: bisect_left(ended, last.until_s, key=ended_s)]):
            if ended_s(each) <= last.from_s:
                break  # as all before it
            if last.from_s < each.until_s:
                return self._of(each.update, last, back=each.update.value == last.found)
        return self._of(first.update, last, back=False)

    def _of(self, other: Operation, last: Based, *, back: bool) -> Violation:
        what = ", which had set the same value again" if back else ""
        title = f"an update was accepted although another came after what it was based on{what}"
        shown = (other, *last.read, last.update)
        return Violation(self.name, f"{title}: {last.update}", shown, "ABA" if back else "lost update")
