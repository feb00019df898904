"""The trail: one line of JSON for each audit and each decision, each holding the hash of the one before it.

Nothing in it can be changed, taken out or moved unseen, unless all that follows is made anew; and that, like
a trail that is cut off at its end, is told by the hash that each report keeps of its own entry.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from chaos_locust.errors import ChaosError
from compliance.measurement import digest

FIRST = "0" * 64
"""What the first entry has for the hash of the one before it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """number: from 1. at: ISO 8601, UTC. kind: audit, attestation, waiver. document: digest of what was
    written down. previous: hash of the entry before. hash: of all the rest of this one."""

    number: int
    at: str
    kind: str
    document: str
    summary: str
    previous: str
    hash: str

    @property
    def is_whole(self) -> bool:
        return self.hash == _hash(asdict(self))

    @property
    def line(self) -> bytes:
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Told:
    """An entry as a report keeps it. where: the report."""

    where: str
    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """number: of the entry, by its place where it cannot be read."""

    number: int
    what: Literal["changed", "missing", "reordered", "cut off"]
    text: str

    def __str__(self) -> str:
        return f"entry {self.number} {self.text}"


@dataclass(frozen=True, slots=True)
class Verified:
    """head: hash of the last entry. wrong: the first one is the cause, the others may be what comes of it."""

    entries: int
    head: str
    wrong: tuple[Wrong, ...]


def append(path: Path, kind: str, document: str, summary: str, at: datetime) -> Entry:
    """Adds an entry, and returns only when it is on the disk. Raises ChaosError when the file cannot be
    written, or its last entry is not whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            last = _last(path, file.read())
            entry = _entry(last, at.isoformat(timespec="seconds"), kind, document, summary)
            file.write(entry.line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ChaosError(f"the trail {path} cannot be written: {error.strerror}") from error
    return entry


def check_end(path: Path) -> None:
    """Raises ChaosError when nothing could be added: before an audit, not after it."""
    if path.exists():
        _last(path, _read(path))


def verify(path: Path, told: Sequence[Told] = ()) -> Verified:
    """Whether every entry is as it was written, in its place. told: what reports keep of it. Raises
    ChaosError when the file cannot be read."""
    lines = _read(path).split(b"\n")
    tail = lines.pop()
    wrong: list[Wrong] = []
    read = [_parsed(line) for line in lines]
    numbers = {entry.number for entry in read if entry is not None}
    number, previous = 1, FIRST
    for entry in read:
        if entry is None:
            wrong.append(Wrong(number, "changed", "was changed: it is not what was written"))
            number, previous = number + 1, ""
            continue
        if entry.number != number:
            wrong += _misplaced(entry, number, numbers)
        elif previous and entry.previous != previous:
            text = f"was changed, and its hash made to fit: entry {number} was added to another one"
            wrong.append(Wrong(max(1, number - 1), "changed", text))
        number, previous = entry.number + 1, entry.hash
    if tail:
        wrong.append(Wrong(number, "changed", "was changed: its line does not end"))
    return Verified(len(lines), previous, (*wrong, *_against(told, read)))


def _misplaced(entry: Entry, number: int, numbers: set[int]) -> list[Wrong]:
    missing = [each for each in range(number, entry.number) if each not in numbers]
    found = [Wrong(each, "missing", "is missing") for each in missing]
    if entry.number < number or len(missing) < entry.number - number:
        text = f"was moved: it stands where entry {number} must"
        found.append(Wrong(entry.number, "reordered", text))
    return found


def _against(told: Sequence[Told], read: Sequence[Entry | None]) -> list[Wrong]:
    hashes = {entry.number: entry.hash for entry in read if entry is not None}
    last = max([len(read), *hashes])
    wrong = []
    for each in sorted(told, key=lambda one: one.number):
        if each.number > last:
            wrong.append(Wrong(each.number, "cut off", f"of {each.where} is not there: the end was cut off"))
        elif hashes.get(each.number, each.hash) != each.hash:
            wrong.append(Wrong(each.number, "changed", f"was changed: {each.where} has another hash for it"))
    return wrong


def _last(path: Path, raw: bytes) -> Entry | None:
    if not raw:
        return None
    entry = _parsed(raw[:-1].rpartition(b"\n")[2]) if raw.endswith(b"\n") else None
    if entry is None:
        raise ChaosError(
            f"the last entry of the trail {path} is not what was written, so none can be added to it; see "
            f"`chaos-locust compliance trail verify {path}`, and move the file away"
        )
    return entry


def _entry(last: Entry | None, at: str, kind: str, document: str, summary: str) -> Entry:
    number, previous = (1, FIRST) if last is None else (last.number + 1, last.hash)
    entry = Entry(number, at, kind, document, summary, previous, "")
    return Entry(number, at, kind, document, summary, previous, _hash(asdict(entry)))


def _parsed(line: bytes) -> Entry | None:
    """None: it is not, byte for byte, what `append` writes."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or set(data) != {field.name for field in fields(Entry)}:
        return None
    entry = Entry(**data)
    texts = [value for key, value in data.items() if key != "number"]
    if type(entry.number) is not int or not all(isinstance(each, str) for each in texts):
        return None
    return entry if entry.is_whole and entry.line == line + b"\n" else None


def _hash(entry: dict[str, Any]) -> str:
    return digest({key: value for key, value in entry.items() if key != "hash"})


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ChaosError(f"the trail {path} cannot be read: {error.strerror}") from error
