"""What was done to a target and what came back: the one form that checkers read.

It comes from a stateful sequence and from a load run alike, and is kept as JSON lines (`Operation.to_json`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from chaos_locust.errors import ChaosError

Outcome = Literal["ok", "fail", "info"]
"""ok: it happened. fail: it certainly did not. info: no answer, so it may or may not have happened."""

OUTCOMES: tuple[Outcome, ...] = ("ok", "fail", "info")
Band = tuple[str, float, float]
"""A fault: its name, from when it may have acted, and until when; inf: to the end."""

_ROUNDED_S = 1e-6
"""Times that lie so close together may be the same: they were written with so many digits."""


class InvalidHistory(ChaosError):
    """A history that nothing can be concluded from; the message names the operations."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that one process asked for.

    process: does one thing at a time. kind: `read`, `write`, `enqueue`, ... key: what it was done to, None
    where there is only one thing. value: what was asked to be written. result: what was answered. start_s
    and end_s: on one clock for the whole history; end_s is inf for `info`, which may still happen. number:
    counts the operations of its process from 0, so that a hole is noticed. error: why it is not `ok`.
    widened_s: start_s is so much earlier and end_s so much later than it was measured, because clocks differ;
    so two operations that one process did one after the other may seem to overlap.
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
    widened_s: float = 0.0

    @property
    def happened(self) -> bool:
        return self.outcome == "ok"

    @property
    def maybe(self) -> bool:
        """Whether it happened or may have."""
        return self.outcome != "fail"

    def widened(self, clock_error_s: float) -> Operation:
        """With the interval that holds on every clock that is off by at most so much."""
        return replace(
            self,
            start_s=self.start_s - clock_error_s,
            end_s=self.end_s + clock_error_s,
            widened_s=self.widened_s + clock_error_s,
        )

    @property
    def lasted_s(self) -> float:
        """As its own clock measured it."""
        return self.end_s - self.start_s - 2 * self.widened_s

    def to_json(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__slots__}
        if math.isinf(self.end_s):
            del data["end_s"]
        if not self.widened_s:
            del data["widened_s"]
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
                widened_s=float(data.get("widened_s", 0.0)),
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

    faults: what was injected meanwhile, on the same clock.
    """

    operations: tuple[Operation, ...]
    faults: tuple[Band, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(sorted(self.operations, key=_in_time)))
        for operations in self.by_process().values():
            _check(operations)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def __len__(self) -> int:
        return len(self.operations)

    def of(self, *kinds: str) -> list[Operation]:
        return [operation for operation in self.operations if operation.kind in kinds]

    def only(self, wanted: Callable[[Operation], bool]) -> History:
        """Those operations of it; in what is left out nothing is missed."""
        part = object.__new__(History)
        object.__setattr__(part, "operations", tuple(filter(wanted, self.operations)))
        object.__setattr__(part, "faults", self.faults)
        return part

    def by_key(self) -> dict[str | None, list[Operation]]:
        keys: dict[str | None, list[Operation]] = {}
        for operation in self.operations:
            keys.setdefault(operation.key, []).append(operation)
        return keys

    def by_process(self) -> dict[str, list[Operation]]:
        """In the order in which each process did them, which widened times alone do not tell."""
        processes: dict[str, list[Operation]] = {}
        for operation in self.operations:
            processes.setdefault(operation.process, []).append(operation)
        for operations in processes.values():
            operations.sort(key=lambda operation: operation.number)
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


def _check(operations: list[Operation]) -> None:
    """Those of one process, in order of their numbers."""
    before: Operation | None = None
    for expected, operation in enumerate(operations):
        if operation.end_s < operation.start_s:
            raise InvalidHistory(f"it ends before it starts: {operation}")
        if operation.number < expected:
            raise InvalidHistory(f"number {operation.number} is given twice in one process: {operation}")
        if operation.number > expected:
            raise InvalidHistory(
                f"process {operation.process} has a hole: operation {expected} is missing before "
                f"{operation.number} ({operation})"
            )
        if before and before.outcome == "info":
            raise InvalidHistory(
                f"process {operation.process} goes on after an operation without an answer "
                f"({before}); give the next one another process"
            )
        if before and _measured_start_s(operation) < before.end_s - before.widened_s - _ROUNDED_S:
            raise InvalidHistory(f"two operations are open in one process: {before} and {operation}")
        before = operation


def _measured_start_s(operation: Operation) -> float:
    return operation.start_s + operation.widened_s


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
