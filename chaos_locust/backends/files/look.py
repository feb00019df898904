"""Looks at a fault on a path from outside: what is free, what a real attempt meets, who uses it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path
from typing import Any

from chaos_locust.backends.base import Undo
from chaos_locust.backends.files.access import attempt
from chaos_locust.backends.files.change import corrupted
from chaos_locust.backends.files.place import User, folder_of
from chaos_locust.probes.process import ProcessId, command_line
from chaos_locust.probes.process_tree import tree

Seen = tuple[bool | None, str]
_TRIAL_BYTES = 65_536
_CALL_ROWS = ("syscr", "syscw")
_NEARLY = 0.9


def free_bytes(folder: Path) -> int:
    """What is left for us: the part that is reserved for root counts when we are root."""
    found = os.statvfs(folder)
    return found.f_frsize * (found.f_bfree if os.geteuid() == 0 else found.f_bavail)


def free_inodes(folder: Path) -> int | None:
    """None: its file system counts none."""
    found = os.statvfs(folder)
    return found.f_favail if found.f_files else None


def look(undo: Undo) -> Seen:
    """Whether the fault acts now. Raises OSError."""
    path = Path(undo["path"])
    match undo["kind"]:
        case "disk_full":
            return _full(folder_of(path), undo["leave"])
        case "inodes":
            return _no_inodes(folder_of(path), undo["leave"])
        case "file_corrupt":
            bad = corrupted(undo)
            return bad > 0, f"{bad} of {len(undo['runs'])} places corrupted"
        case "file_truncate":
            size = path.lstat().st_size
            return size < undo["was"], f"{size:,} bytes of {undo['was']:,} there"
        case "file_missing":
            return not os.path.lexists(path), "its name is gone" if not os.path.lexists(
                path
            ) else "it is there"
    return _refused(undo, path)


def look_at_trace(undo: Undo, told: dict[str, Any]) -> Seen:
    """told: by the holder. Not known while the process makes no such call."""
    calls, shortest_s = told["calls"], told["shortest_s"]
    if not calls:
        return None, "it was traced, but made no such call"
    if undo["kind"] == "io_error":
        return True, f"{calls} calls failed with {undo['error']}"
    if shortest_s is None:
        return None, f"{calls} calls were delayed, none has returned yet"
    text = f"{calls} calls were delayed, the shortest took {shortest_s * 1000:.1f} ms"
    return shortest_s >= _NEARLY * undo["latency_s"], text


def tracers(undo: Undo) -> set[int]:
    """The pids that trace the processes of `undo` now and carry its mark."""
    found = set()
    for data in undo["processes"]:
        process = ProcessId(**data)
        if process.state is None:
            continue
        with contextlib.suppress(OSError):
            rows = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            tracer = next(int(row.split()[1]) for row in rows if row.startswith("TracerPid:"))
            if tracer and command_line(tracer)[:1] == [undo["mark"]]:
                found.add(tracer)
    return found


def calls_of(pid: int) -> int | None:
    """How often the process and its descendants have read and written so far; None: it cannot be seen."""
    total = 0
    try:
        for member in tree(pid):
            rows = dict(line.split(": ") for line in Path(f"/proc/{member}/io").read_text().splitlines())
            total += sum(int(rows[row]) for row in _CALL_ROWS)
    except OSError:
        return None
    return total


def is_mapped(pid: int, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return f" {path}" in Path(f"/proc/{pid}/maps").read_text()
    return False


def _full(folder: Path, leave: int) -> Seen:
    free = free_bytes(folder)
    text = f"{free:,} bytes free"
    if leave:
        # A real write would have to take what the target is left; what is free says enough.
        return free < leave + os.statvfs(folder).f_frsize, text
    file = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, secrets.token_bytes(_TRIAL_BYTES))
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return True, f"{text}, a write meets ENOSPC"
    finally:
        os.close(file)
    return False, f"{text}, a write of {_TRIAL_BYTES:,} bytes is taken"


def _no_inodes(folder: Path, leave: int) -> Seen:
    free = free_inodes(folder)
    text = f"{free} inodes free"
    if leave or free is None:
        return free is not None and free <= leave, text
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return True, f"{text}, a new file meets ENOSPC"
    return False, f"{text}, a new file is made"


def _refused(undo: Undo, path: Path) -> Seen:
    met = attempt(User(**undo["user"]), path, undo["kind"])
    if met is None:
        return None, ""
    what = "writing to" if undo["kind"] == "read_only" else "opening"
    return bool(met), f"{what} it meets '{met}'" if met else f"{what} it is allowed"
