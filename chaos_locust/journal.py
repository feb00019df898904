"""The journal: everything that happened in a run, as append-only JSON lines, one file a run.

Line 1 is the `run` event, line 2 the histograms' `layout`; then events and `window` lines in the order in
which they came. A window line is an additive change: the reader adds all of one (second, name) together.
Numbers that JSON does not know are the strings "Infinity", "-Infinity" and "NaN".
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from chaos_locust.errors import ChaosError
from chaos_locust.events import (
    SCHEMA_VERSION,
    ClockOffset,
    EffectSeen,
    Event,
    FaultEvent,
    FaultState,
    GeneratorSample,
    LoadStopped,
    Note,
    ProbeRead,
    Recording,
    RunEnded,
    RunStarted,
    SharesChanged,
    SteadyState,
    StepSeen,
    WorkerEvent,
)
from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import Window
from chaos_locust.redact import redact, redact_text

JOURNAL_NAME = "journal.jsonl"
HISTORY_NAME = "history.jsonl"  # what users did, beside the journal, where the plan has invariants
CONTROLS_NAME = "compliance.jsonl"  # what was measured of its controls, where the plan has any
GUARDIAN_NAME = "guardian.jsonl"  # what the guardian wrote by itself, beside the journal

_KINDS: Mapping[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        RunStarted,
        WorkerEvent,
        ClockOffset,
        SharesChanged,
        StepSeen,
        FaultEvent,
        EffectSeen,
        ProbeRead,
        GeneratorSample,
        SteadyState,
        Note,
        LoadStopped,
        RunEnded,
    )
}
_FIELDS: Mapping[str, Mapping[str, Any]] = {  # by kind: the type of each field
    kind: {name: hint for name, hint in get_type_hints(cls).items() if name != "kind"}
    for kind, cls in _KINDS.items()
}


class Journal:
    """Writes a run's journal. Each line goes to the system at once: a killed run keeps all but a cut one.

    clock: seconds since the run's start, stamped on window lines. Every method may be called from any
    thread and raises ChaosError when the file cannot be written; after that it writes nothing more.
    """

    def __init__(self, path: Path, layout: Layout, clock: Callable[[], float]) -> None:
        self.path = path
        self._layout = layout
        self._clock = clock
        self._lock = threading.Lock()
        self._lines = 0
        self._failure: ChaosError | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ChaosError(f"cannot create the journal {path}: {error.strerror}") from error

    def write(self, event: Event) -> None:
        """Append an event; the first of a journal is RunStarted."""
        if (self._lines == 0) != isinstance(event, RunStarted):
            raise ValueError(f"RunStarted is the first line and only that, this is {event.kind!r}")
        self._append(event_to_json(event))
        if isinstance(event, RunStarted):
            self._append({"kind": "layout", "edges_ns": list(self._layout.edges_ns)})

    def write_window(self, due_second: int, name: str, window: Window) -> None:
        """Append a change of the window of (due second, request name)."""
        data = window.to_json()
        for texts in ("failed", "errors_sample"):
            if texts in data:
                data[texts] = _redact_keys(data[texts])
        key = {"second": due_second, "name": redact_text(name)}
        self._append({"kind": "window", "t_s": self._clock(), **key, "data": data})

    def close(self) -> None:
        """Make everything durable. Closing twice does nothing."""
        with self._lock:
            if self._fd < 0:
                return
            fd, self._fd = self._fd, -1
            try:
                os.fsync(fd)
            except OSError as error:
                raise self._failed(error) from error
            finally:
                os.close(fd)

    def _append(self, data: Mapping[str, Any]) -> None:
        line = memoryview(json.dumps(data, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._fd < 0:
                raise ValueError("the journal is closed")
            try:
                while line:
                    line = line[os.write(self._fd, line) :]
            except OSError as error:
                raise self._failed(error) from error
            self._lines += 1

    def _failed(self, error: OSError) -> ChaosError:
        self._failure = ChaosError(f"cannot write the journal {self.path}: {error.strerror}")
        return self._failure


def event_to_json(event: Event) -> dict[str, Any]:
    """The event as JSON data with its `kind`, without secrets."""
    data = redact(dataclasses.asdict(event))
    finite = {name: _number_to_json(value) for name, value in data.items()}
    return {"kind": event.kind, **finite}


def event_from_json(data: Mapping[str, Any]) -> Event:
    """The inverse of `event_to_json`. ValueError for an unknown kind, unknown or missing fields."""
    cls = _KINDS.get(str(data.get("kind")))
    if cls is None:
        raise ValueError(f"unknown kind {data.get('kind')!r}")
    hints = _FIELDS[cls.kind]
    values = {name: value for name, value in data.items() if name != "kind"}
    unknown = values.keys() - hints.keys()
    if unknown:
        raise ValueError(f"{cls.kind!r} has no field {sorted(unknown)[0]!r}")
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
        elif isinstance(value, str) and hints[name] in (float, float | None):
            values[name] = float(value)
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(str(error)) from error


def read_journal(path: Path) -> Recording:
    """The recording of a run's folder or journal file; events of `guardian.jsonl` beside it are merged in.

    A last line that was cut off is left out and makes the recording incomplete. ChaosError: the file is
    missing, empty, damaged elsewhere, or of a newer schema.
    """
    file = path / JOURNAL_NAME if path.is_dir() else path
    events: list[Event] = []
    windows: dict[tuple[int, str], Window] = {}
    layout: Layout | None = None
    for number, data in _lines(file):
        try:
            if data["kind"] == "layout":
                layout = Layout(tuple(data["edges_ns"]))
            elif data["kind"] == "window":
                if layout is None:
                    raise ValueError("a window before the layout")
                window = Window.from_json(data["data"], layout)
                known = windows.setdefault((data["second"], data["name"]), window)
                if known is not window:
                    known.add_window(window)
            else:
                if not events:
                    _check_schema(data, file)
                events.append(event_from_json(data))
        except (KeyError, TypeError, ValueError) as error:
            raise ChaosError(f"{file}, line {number}: not a line of a journal: {error}") from error
    if not events or not isinstance(events[0], RunStarted):
        raise ChaosError(f"{file}: not a journal: it does not begin with the run's start")
    header = events[0]
    complete = isinstance(events[-1], RunEnded) and _ends_with_newline(file)
    events.extend(_guardian_events(file.with_name(GUARDIAN_NAME), header, events))
    # The header stays first even when a clock offset puts something before the start.
    ordered = (header, *sorted(events[1:], key=lambda event: event.t_s))
    return Recording(header, ordered, windows, complete, folder=file.parent)


def _check_schema(data: Mapping[str, Any], file: Path) -> None:
    schema = data.get("schema")
    if data["kind"] == RunStarted.kind and schema != SCHEMA_VERSION:
        raise ChaosError(f"{file}: written with journal schema {schema}, this version reads {SCHEMA_VERSION}")


def _lines(file: Path, damaged: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered objects of a file of JSON lines, without a last line that is cut off.

    damaged: lines in its middle may be cut off too, for another process went on writing it.
    """
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    data = json.loads(line)
                except ValueError as error:
                    if damaged:
                        continue
                    if not line.endswith(b"\n"):
                        return
                    raise ChaosError(f"{file}, line {number}: not JSON: {error}") from error
                if not isinstance(data, dict):
                    raise ChaosError(f"{file}, line {number}: not a JSON object")
                yield number, data
    except OSError as error:
        raise ChaosError(f"cannot read the journal {file}: {error.strerror}") from error


def _ends_with_newline(file: Path) -> bool:
    with file.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def _guardian_events(file: Path, header: RunStarted, journalled: list[Event]) -> list[Event]:
    """What only the guardian wrote down, because the run was dead by then."""
    if not file.exists():
        return []
    states = {(e.fault, e.state) for e in journalled if isinstance(e, FaultEvent)}
    effects = {(e.fault, e.detail) for e in journalled if isinstance(e, EffectSeen)}
    found: list[Event] = []
    for number, data in _lines(file, damaged=True):
        try:
            event, fault = data["event"], data.get("fault")
            if fault is None:
                continue
            t_s = float(data["epoch_s"]) - header.started_epoch_s
            detail = redact_text(str(data.get("detail") or ""))
            if event == "effect" and (fault, detail) not in effects:
                effects.add((fault, detail))
                found.append(EffectSeen(t_s, fault, data["mechanism"], data["use"], detail))
            elif event in get_args(FaultState) and (fault, event) not in states:
                states.add((fault, event))
                found.append(FaultEvent(t_s, fault, event, detail))
        except (KeyError, TypeError, ValueError) as error:
            raise ChaosError(f"{file}, line {number}: not a line of the guardian's: {error}") from error
    return found


def _number_to_json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _redact_keys(texts: Mapping[str, Any]) -> dict[str, Any]:
    """Counters or samples by error kind; kinds that are the same once redacted are added up."""
    result: dict[str, Any] = {}
    for kind, value in texts.items():
        kind = redact_text(kind)
        if isinstance(value, str):
            result.setdefault(kind, redact_text(value))
        else:
            result[kind] = result.get(kind, 0) + value
    return result
