"""Updates on condition: what somebody else changed in between is noticed (optimistic locking, If-Match).

An update is based on what its process read before. From the end of that read to the start of the update
nothing may change, or the change is overwritten by somebody who never saw it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation

CONFLICT = "conflict"
"""The error of a `put` that was refused because somebody else had changed what it was based on."""


@dataclass(frozen=True, slots=True)
class ConditionalUpdates:
    """`read`, and `put` of a value on the condition that nothing changed since the last read of the same key
    by the same process. A put that follows no read, or follows another put, is not judged. The value of a put
    is what the reads after it answer."""

    @property
    def name(self) -> str:
        return "conditional-updates"

    def check(self, history: History) -> Checked:
        violations, seen = list[Violation](), {"updates": 0, "conflicts": 0}
        for operations in history.by_key().values():
            based = _based(operations)
            done = [(read, put) for read, put in based if put.happened]
            violations += self._overwritten(done)
            seen["updates"] += len(done)
            seen["conflicts"] += sum(put.error == CONFLICT for _, put in based)
        doubt = ""
        if not seen["updates"]:
            doubt = "no update was accepted"
        elif not violations and not seen["conflicts"]:
            doubt = "no two updates met"
        return Checked(tuple(violations), doubt, seen)

    def _overwritten(self, done: Sequence[_Update]) -> list[Violation]:
        """Pairs of accepted updates that both read before either of them wrote."""
        violations = []
        for place, (read, put) in enumerate(done):
            for other_read, other in done[place + 1 :]:
                if other_read.end_s >= put.start_s:
                    break  # in order of the reads' ends: all that follow read too late as well
                if read.end_s < other.start_s:
                    pair = sorted([(read, put), (other_read, other)], key=lambda update: update[1].end_s)
                    violations.append(self._of(pair[0], pair[1], done))
                    break
        return violations

    def _of(self, first: _Update, last: _Update, done: Sequence[_Update]) -> Violation:
        read, put = last
        between = [other for _, other in done if read.end_s < other.start_s and other.end_s < put.start_s]
        back = bool(between) and max(between, key=lambda op: op.end_s).value == read.result
        what = ", which had set the same value again" if back else ""
        title = f"an update was accepted although another came after what it was based on{what}: {put}"
        shown = {(op.process, op.number): op for op in (*first, *last, *between[-1:])}
        operations = sorted(shown.values(), key=lambda op: op.start_s)
        return Violation(self.name, title, tuple(operations), "ABA" if back else "lost update")


_Update = tuple[Operation, Operation]
"""(the read that it is based on, the put)"""


def _based(operations: Sequence[Operation]) -> list[_Update]:
    """In order of the reads' ends."""
    reads: dict[str, Operation] = {}
    updates = []
    for operation in operations:
        read = reads.pop(operation.process, None)
        if operation.kind == "read" and operation.happened:
            reads[operation.process] = operation
        elif operation.kind == "put" and read is not None:
            updates.append((read, operation))
    return sorted(updates, key=lambda update: update[0].end_s)
