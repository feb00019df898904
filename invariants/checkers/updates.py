"""Updates on condition: what somebody else changed in between is noticed (optimistic locking, If-Match).

An update is based on what its client read before. From the end of that read to the start of the write nothing
may change, or the change is overwritten by somebody who never saw it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation

CONFLICT = "conflict"
"""The error of an update that was refused because somebody else had changed what it was based on."""


@dataclass(frozen=True, slots=True)
class ConditionalUpdates:
    """`update` of a key with the new value as value, and {"read", "from_s", "until_s"} as result: the value
    that it is based on, when that had been read, and when the write was sent, on the clock of the history."""

    @property
    def name(self) -> str:
        return "conditional-updates"

    def check(self, history: History) -> Checked:
        violations, seen = list[Violation](), {"updates": 0, "conflicts": 0}
        for operations in history.by_key().values():
            updates = [op for op in operations if op.kind == "update"]
            done = sorted((op for op in updates if op.happened), key=lambda op: float(op.result["from_s"]))
            violations += self._overwritten(done)
            seen["updates"] += len(done)
            seen["conflicts"] += sum(op.error == CONFLICT for op in updates)
        doubt = ""
        if not seen["updates"]:
            doubt = "no update was accepted"
        elif not violations and not seen["conflicts"]:
            doubt = "no two updates met"
        return Checked(tuple(violations), doubt, seen)

    def _overwritten(self, done: Sequence[Operation]) -> list[Violation]:
        """Pairs of accepted updates that both had read before either of them wrote."""
        violations = []
        for place, update in enumerate(done):
            for other in done[place + 1 :]:
                if other.result["from_s"] >= update.result["until_s"]:
                    break  # as all that follow: they are in order of their reads
                if update.result["from_s"] < other.result["until_s"]:
                    first, last = sorted([update, other], key=lambda op: op.end_s)
                    violations.append(self._of(first, last, done))
                    break
        return violations

    def _of(self, first: Operation, last: Operation, done: Sequence[Operation]) -> Violation:
        from_s, until_s = last.result["from_s"], last.result["until_s"]
        between = [op for op in done if from_s < op.result["until_s"] and op.end_s < until_s]
        newest = max(between, key=lambda op: op.end_s, default=first)
        back = bool(between) and newest.value == last.result["read"]
        what = ", which had set the same value again" if back else ""
        title = f"an update was accepted although another came after what it was based on{what}: {last}"
        return Violation(self.name, title, (newest, last), "ABA" if back else "lost update")
