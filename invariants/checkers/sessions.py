"""What one client may rely on: its own writes, and that what it saw does not go back.

The session guarantees of Terry et al., "Session guarantees for weakly consistent replicated data" (1994), on
values that only grow: versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class SessionGuarantees:
    """`write` with a version as value that grows with each write to a key, and `read` with a version as
    result; null is before the first. A process is a session."""

    @property
    def name(self) -> str:
        return "session-guarantees"

    def check(self, history: History) -> Checked:
        violations: list[Violation] = []
        reads = 0
        for operations in history.by_process().values():
            keys = {operation.key for operation in operations}
            for key in sorted(keys, key=str):
                own = [operation for operation in operations if operation.key == key and operation.happened]
                reads += sum(operation.kind == "read" for operation in own)
                violations += self._session(own)
        return Checked(tuple(violations), "" if reads else "nothing was read", {"reads": reads})

    def _session(self, operations: Sequence[Operation]) -> list[Violation]:
        violations = []
        written: Operation | None = None
        seen: Operation | None = None
        for operation in operations:
            if operation.kind == "write":
                if written is not None and operation.value <= written.value:
                    violations.append(self._of("monotonic writes", written, operation))
                written = operation
                continue
            version = _version(operation.result)
            if written is not None and version < _version(written.value):
                violations.append(self._of("read your writes", written, operation))
            if seen is not None and version < _version(seen.result):
                violations.append(self._of("monotonic reads", seen, operation))
            if seen is None or version > _version(seen.result):
                seen = operation
        return violations

    def _of(self, guarantee: str, before: Operation, after: Operation) -> Violation:
        return Violation(
            self.name, f"{guarantee} is broken: {after} after {before}", (before, after), guarantee
        )


def _version(value: float | None) -> float:
    return float("-inf") if value is None else value
