"""What was done to a target and what came back: the one form that checkers read.

It comes from a stateful sequence and from a load run alike, and is kept as JSON lines (`Operation.to_json`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from chaos_locust.errors import ChaosError

Outcome = Literal["ok", "fail", "info"]
"""ok: it happened. fail: it certainly did not. info: no answer, so it may or may not have happened."""

OUTCOMES: tuple[Outcome, ...] = ("ok", "fail", "info")


class InvalidHistory(ChaosError):
    """A history that nothing can be concluded from; the message names the operations."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that one process asked for.

    process: does one thing at a time. kind: `read`, `write`, `enqueue`, ... key: what it was done to, None
    where there is only one thing. value: what was asked to be written. result: what was answered. start_s
    and end_s: on one clock for the whole history; end_s is inf for `info`, which may still happen. number:
    counts the operations of its process from 0, so that a hole is noticed. error: why it is not `ok`.
    """

    process: str
    number: int
    kind: str
    key: str | None
    value: Any
    outcome: Outcome
    result: Any
    start_s: float
    end_s: float
    error: str = ""

    @property
    def happened(self) -> bool:
        return self.outcome == "ok"

    @property
    def maybe(self) -> bool:
        """Whether it happened or may have."""
        return self.outcome != "fail"

    def widened(self, clock_error_s: float) -> Operation:
        """With the interval that holds on every clock that is off by at most so much."""
        return replace(self, start_s=self.start_s - clock_error_s, end_s=self.end_s + clock_error_s)

    def to_json(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__slots__}
        if math.isinf(self.end_s):
            del data["end_s"]
        return {key: value for key, value in data.items() if value is not None and value != ""}

    @classmethod
    def from_json(cls, data: Any) -> Operation:
        """Raises InvalidHistory."""
        try:
            outcome = data["outcome"]
            if outcome not in OUTCOMES:
                raise InvalidHistory(f"outcome '{outcome}' is not allowed; give {', '.join(OUTCOMES)}")
            return cls(
                process=str(data["process"]),
                number=int(data["number"]),
                kind=str(data["kind"]),
                key=None if data.get("key") is None else str(data["key"]),
                value=data.get("value"),
                outcome=outcome,
                result=data.get("result"),
                start_s=float(data["start_s"]),
                end_s=math.inf if outcome == "info" else float(data["end_s"]),
                error=str(data.get("error", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidHistory(f"no operation: {type(error).__name__}: {error}") from None

    def __str__(self) -> str:
        what = self.kind + (f" {self.key}" if self.key is not None else "")
        asked = f" {_short(self.value)}" if self.value is not None else ""
        came = {"ok": "ok", "fail": "failed", "info": "no answer"}[self.outcome]
        answer = f" {_short(self.result)}" if self.result is not None else ""
        return f"{self.process}: {what}{asked} -> {came}{answer}"


@dataclass(frozen=True, slots=True)
class History:
    """Operations in order of their start. Raises InvalidHistory where it has holes or overlaps.

    faults: (name, from second, to second) of what was injected meanwhile, on the same clock.
    """

    operations: tuple[Operation, ...]
    faults: tuple[tuple[str, float, float], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(sorted(self.operations, key=_in_time)))
        _check(self.operations)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def __len__(self) -> int:
        return len(self.operations)

    def of(self, *kinds: str) -> list[Operation]:
        return [operation for operation in self.operations if operation.kind in kinds]

    def by_key(self) -> dict[str | None, list[Operation]]:
        keys: dict[str | None, list[Operation]] = {}
        for operation in self.operations:
            keys.setdefault(operation.key, []).append(operation)
        return keys

    def by_process(self) -> dict[str, list[Operation]]:
        processes: dict[str, list[Operation]] = {}
        for operation in self.operations:
            processes.setdefault(operation.process, []).append(operation)
        return processes


def write_history(path: Path, operations: Iterable[Operation]) -> None:
    """JSON lines."""
    with path.open("w", encoding="utf-8") as stream:
        for operation in operations:
            stream.write(json.dumps(operation.to_json()) + "\n")


def read_history(path: Path) -> History:
    """Raises InvalidHistory with the line's number."""
    operations = []
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    operations.append(Operation.from_json(json.loads(line)))
                except (InvalidHistory, ValueError) as error:
                    raise InvalidHistory(f"{path}, line {number}: {error}") from None
    except OSError as error:
        raise InvalidHistory(f"the history {path} cannot be read: {error.strerror}") from None
    return History(tuple(operations))


def _in_time(operation: Operation) -> tuple[float, str, int]:
    return operation.start_s, operation.process, operation.number


def _check(operations: Sequence[Operation]) -> None:
    last: dict[str, Operation] = {}
    for operation in operations:
        if operation.end_s < operation.start_s:
            raise InvalidHistory(f"it ends before it starts: {operation}")
        before = last.get(operation.process)
        expected = before.number + 1 if before else 0
        if operation.number != expected:
            raise InvalidHistory(
                f"process {operation.process} has a hole: operation {expected} is missing before "
                f"{operation.number} ({operation})"
            )
        if before and before.outcome != "info" and operation.start_s < before.end_s:
            raise InvalidHistory(f"two operations are open in one process: {before} and {operation}")
        if before and before.outcome == "info":
            raise InvalidHistory(
                f"process {operation.process} goes on after an operation without an answer "
                f"({before}); give the next one another process"
            )
        last[operation.process] = operation


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
