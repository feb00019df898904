"""What users do, written to the run's history: `with chaos_locust.operation("write", value=7, key="a"): ...`.

On the hot path of the load generator: keep it cheap.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json.encoder import encode_basestring_ascii
from types import TracebackType
from typing import Any, ClassVar, Final, Literal, Self

from gevent import getcurrent

from chaos_locust.locust_plugin.failures import failure_kind
from chaos_locust.redact import redact_text

Row = tuple[float, float | None, str]
"""(start, end, the rest as a JSON object), in seconds of the run on the worker's clock; no end: no answer."""
Batch = tuple[int, list[Row]]
"""(how many rows came before, rows)"""

_PROCESS: Final = "_chaos_process"
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class operation:
    """One operation of one user, for the time of a `with` block: for the plan's `invariants:`.

    kind: what is done, in the words of the checker (`read`, `write`, `enqueue`, ...). value: what is asked to
    be written; key: what it is done to. `result`: the answer. Value and result are data that JSON has, else
    TypeError.

    It is ok when the block ends and no request in it failed. Otherwise (a time-out, a 500, an exception) it
    may or may not have happened, and is written down as that; say `fail` where it certainly did not happen.
    Without `invariants:` in the plan, and outside a run, nothing is written.
    """

    __slots__ = (
        "_asked",
        "_number",
        "_process",
        "_start_s",
        "_writer",
        "key",
        "kind",
        "outcome",
        "reason",
        "result",
        "value",
    )

    _asked: str
    _number: int
    _process: _Process
    _start_s: float
    _writer: Operations | None

    writer: ClassVar[Operations | None] = None
    """Of the run that goes on in this process: users have nothing else by which to find it."""

    def __init__(self, kind: str, value: Any = None, key: str | None = None) -> None:
        self.kind = kind
        self.value = value
        self.key = key
        self.result: Any = None
        self.outcome: Literal["ok", "fail", "info"] | None = None  # None: not said
        self.reason = ""

    def __enter__(self) -> Self:
        self._writer = self.writer
        if self._writer is not None:
            self._writer.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            if error is not None:
                self.doubt(error)
            self._writer.end(self)

    def fail(self, reason: str) -> None:
        """It certainly did not happen: it was refused."""
        self.outcome, self.reason = "fail", reason

    def doubt(self, error: BaseException) -> None:
        """It may or may not have happened; unless it was said that it did not."""
        if self.outcome is None:
            self.outcome, self.reason = "info", failure_kind(error)


class _Process:
    """Does one thing after the other, until one has no answer: then it is over."""

    __slots__ = ("count", "name", "of", "open", "over")

    def __init__(self, of: Operations, name: str) -> None:
        self.of = of
        self.name = _encode(name)
        self.count = 0
        self.over = False
        self.open: list[operation] = []


class Operations:
    """The operations of one run in one process, until they are taken for the next report.

    worker: its name, which begins the names of its processes. now: seconds of the run. Each greenlet, so each
    user, is a process; after an operation without an answer it is another one.
    """

    def __init__(self, worker: str, now: Callable[[], float]) -> None:
        self._worker = worker
        self._now = now
        self._rows: list[Row] = []
        self._taken = 0
        self._named = 0
        self._open: set[operation] = set()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Operations of this process are written here. Not for two runs at once."""
        operation.writer = self
        try:
            yield
        finally:
            operation.writer = None

    def begin(self, op: operation) -> None:
        """It starts now. TypeError: what is asked is no JSON; then nothing has begun."""
        op._asked = _asked(op)
        greenlet = getcurrent()
        process: _Process | None = greenlet.__dict__.get(_PROCESS)
        if process is None or process.over or process.of is not self:
            process = greenlet.__dict__[_PROCESS] = _Process(self, f"{self._worker}.{self._named}")
            self._named += 1
        op._process, op._number = process, process.count
        process.count += 1
        process.open.append(op)
        self._open.add(op)
        op._start_s = self._now()

    def end(self, op: operation) -> None:
        """It ends now. TypeError: its result is no JSON; then it is one without an answer."""
        ended_s = self._now()
        if op not in self._open:
            return  # the run was over before
        error: TypeError | None = None
        outcome, result = op.outcome or "ok", ""
        if op.result is not None:
            try:
                result = f',"result":{_json(op.result)}'
            except (TypeError, ValueError) as raised:
                outcome, error = "info", TypeError(f"the result of '{op.kind}' cannot be JSON: {raised}")
                op.reason = str(error)
        self._open.discard(op)
        op._process.open.remove(op)
        reason = f',"error":{_encode(redact_text(op.reason))}' if op.reason else ""
        text = (
            f'{{"process":{op._process.name},"number":{op._number},"outcome":"{outcome}",'
            f"{op._asked}{result}{reason}}}"
        )
        self._rows.append((op._start_s, None if outcome == "info" else ended_s, text))
        op._process.over |= outcome == "info"
        if error is not None:
            raise error

    def give_up(self) -> None:
        """The run is over: what still has no end will not get one."""
        for op in list(self._open):
            op.outcome, op.reason = "info", "unanswered"
            self.end(op)

    def take(self) -> Batch:
        """Those that have ended since the last call."""
        rows, self._rows = self._rows, []
        before, self._taken = self._taken, self._taken + len(rows)
        return before, rows


def request_failed(error: BaseException) -> None:
    """Of the user that runs now: Locust's clients do not raise what its operations have to know."""
    process: _Process | None = getcurrent().__dict__.get(_PROCESS)
    for op in process.open if process is not None else ():
        op.doubt(error)


def _json(value: Any) -> str:
    """Text and whole numbers are written at once, for the encoder takes its time to get going."""
    if type(value) is str:
        return encode_basestring_ascii(value)
    return repr(value) if type(value) is int else _encode(value)


def _asked(op: operation) -> str:
    """What is known before it begins, as members of a JSON object."""
    try:
        text = f'"kind":{_json(op.kind)}'
        if op.key is not None:
            text += f',"key":{_json(str(op.key))}'
        if op.value is not None:
            text += f',"value":{_json(op.value)}'
    except (TypeError, ValueError) as error:
        raise TypeError(f"the value of '{op.kind}' cannot be JSON: {error}") from None
    return text
