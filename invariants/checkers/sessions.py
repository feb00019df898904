"""What one client may rely on: its own writes, and that what it saw does not go back.

The session guarantees of Terry et al., "Session guarantees for weakly consistent replicated data" (1994).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class SessionGuarantees:
    """`write` with a version as value, each used once for its key, and `read` with a version as result; null
    is before the first. A process is a session.

    A version is older than another when its write was answered before the other's was asked. Writes at the
    same time have no order, whatever their numbers; of versions that nobody wrote the smaller is older.
    """

    @property
    def name(self) -> str:
        return "session-guarantees"

    def check(self, history: History) -> Checked:
        violations: list[Violation] = []
        reads = compared = 0
        writes = {(op.key, op.value): op for op in history.of("write")}
        for operations in history.by_process().values():
            keys = {operation.key for operation in operations}
            for key in sorted(keys, key=str):
                own = [operation for operation in operations if operation.key == key and operation.happened]
                reads += sum(operation.kind == "read" for operation in own)
                compared += _compared(own)
                violations += self._session(own, writes)
        doubt = "" if compared else "no session read again what it had written or read"
        return Checked(tuple(violations), doubt, {"reads": reads})

    def _session(self, operations: Sequence[Operation], writes: _Writes) -> list[Violation]:
        violations = []
        written: Operation | None = None
        newest: list[Operation] = []  # of the reads so far: by when it was written, and by number
        for operation in operations:
            if operation.kind == "write":
                written = operation
                continue
            if written is not None and _older(operation.result, written.value, operation.key, writes):
                violations.append(self._of("read your writes", written, operation))
            newer = [read for read in newest if _older(operation.result, read.result, operation.key, writes)]
            if newer:
                violations.append(self._of("monotonic reads", newer[0], operation))
            if operation.result is not None:
                reads = [*newest, operation]
                newest = [max(reads, key=lambda read: _since_s(read, writes)), max(reads, key=_number)]
        return violations

    def _of(self, guarantee: str, before: Operation, after: Operation) -> Violation:
        return Violation(
            self.name, f"{guarantee} is broken: {after} after {before}", (before, after), guarantee
        )


def _compared(operations: Sequence[Operation]) -> int:
    """Reads after something that binds them: a write, or a read that found something."""
    bound, reads = False, 0
    for operation in operations:
        reads += bound and operation.kind == "read"
        bound = bound or operation.kind == "write" or operation.result is not None
    return reads


_Writes = Mapping[tuple[str | None, Any], Operation]


def _older(version: Any, than: Any, key: str | None, writes: _Writes) -> bool:
    if version is None or than is None:
        return version is None and than is not None
    one, other = writes.get((key, version)), writes.get((key, than))
    if one is not None and other is not None:
        return one.end_s < other.start_s
    return bool(version < than)


def _since_s(read: Operation, writes: _Writes) -> float:
    write = writes.get((read.key, read.result))
    return float("-inf") if write is None else write.start_s


def _number(read: Operation) -> Any:
    return read.result
