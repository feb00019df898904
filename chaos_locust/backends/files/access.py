"""Rights taken from files and folders, and given back: by mode bits, or by the immutable flag.

A row of an Undo is [path relative to the root of it, inode, what was]: the mode, or the flags.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import stat
import subprocess
from pathlib import Path
from typing import Any, Literal

from chaos_locust.backends.base import Undo
from chaos_locust.backends.files.place import User, entries
from chaos_locust.errors import BackendError

Way = Literal["mode", "flag"]
Row = tuple[str, int, int]

_WRITE_BITS = 0o222
_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS = 0x80086601, 0x40086602  # <linux/fs.h>, 64-bit
_IMMUTABLE = 0x10
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_LIMIT_S = 5.0


def prepare_access(path: Path, undo: Undo, way: Way, everything: bool) -> Undo:
    """everything: that all that is beneath is meant too, else the path alone."""
    rows = []
    for name in entries(path) if everything else ["."]:
        found = (path / name).lstat()
        was = found.st_mode & 0o7777 if way == "mode" else _flags(path / name)
        if _changed(undo["kind"], way, was) != was:
            rows.append([name, found.st_ino, was])
    if not rows:
        raise BackendError(f"{path} is so already: nothing would be changed")
    return undo | {"way": way, "rows": rows}


def inject_access(undo: Undo) -> None:
    """Folders after what they hold, so that it can be reached."""
    for name, inode, was in reversed(undo["rows"]):
        _switch(undo, name, inode, was, on=True)


def revert_access(undo: Undo) -> None:
    """Folders before what they hold. What somebody else has set meanwhile is left so."""
    for name, inode, was in undo["rows"]:
        _switch(undo, name, inode, was, on=False)


def left_changed(undo: Undo) -> list[str]:
    """What still has what we set."""
    root = Path(undo["path"])
    return [
        str(root / name)
        for name, inode, was in undo["rows"]
        if (now := _now(root / name, inode, undo["way"])) is not None and _back(undo, now, was) != now
    ]


def flag_problem(path: Path) -> str:
    """Why the immutable flag cannot be set there; empty: nothing known speaks against it."""
    if os.geteuid() != 0:
        return "only root can set the immutable flag, which alone stops a process with root's rights"
    try:
        _flags(path)
    except OSError as error:
        return f"its file system has no immutable flag ({error.strerror})"
    return ""


def attempt(user: User, path: Path, kind: str) -> str | None:
    """What the user meets who tries: empty when it is allowed, else words; None: we cannot be that user.

    A file is opened; of a folder the kernel is asked whether it could be written to, or it is listed.
    """
    if user.uid == os.geteuid():
        credentials: dict[str, Any] = {}
    elif os.geteuid() == 0:
        credentials = {"user": user.uid, "group": user.gid, "extra_groups": list(user.groups)}
    else:
        return None
    if path.is_dir():
        script = 'test -w "$1"' if kind == "read_only" else 'cd "$1" && ls >/dev/null'
    else:
        script = ': >> "$1"' if kind == "read_only" else ': < "$1"'
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", script, "sh", str(path)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S, cwd="/", check=False,
            env={"LC_ALL": "C", "PATH": os.defpath}, **credentials,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return "" if done.returncode == 0 else done.stderr.strip().rpartition(": ")[2] or "refused"


def _changed(kind: str, way: Way, was: int) -> int:
    if way == "flag":
        return was | _IMMUTABLE
    return was & ~_WRITE_BITS if kind == "read_only" else 0


def _back(undo: Undo, now: int, was: int) -> int:
    """What undoing makes of `now`. The file system itself sets other flags, as a folder grows."""
    if undo["way"] == "flag":
        return now & ~_IMMUTABLE
    return was if now == _changed(undo["kind"], "mode", was) else now


def _switch(undo: Undo, name: str, inode: int, was: int, on: bool) -> None:
    """If it is still that file; nothing is set that is set already."""
    path = Path(undo["path"]) / name
    now = _now(path, inode, undo["way"])
    if now is None:
        return
    wanted = _changed(undo["kind"], undo["way"], now) if on else _back(undo, now, was)
    if wanted == now:
        return
    # A descriptor that needs no rights holds on to this very file; chmod goes through its link.
    holder = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(holder).st_ino == inode:
            _set(holder, undo["way"], wanted)
    finally:
        os.close(holder)


def _set(holder: int, way: Way, wanted: int) -> None:
    if way == "mode":
        os.chmod(f"/proc/self/fd/{holder}", wanted)
        return
    descriptor = os.open(f"/proc/self/fd/{holder}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, array.array("l", [wanted]))
    finally:
        os.close(descriptor)


def _now(path: Path, inode: int, way: Way) -> int | None:
    """Its mode or flags; None: it is gone, or another has its name."""
    try:
        found = path.lstat()
        if found.st_ino != inode or not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            return None
        return found.st_mode & 0o7777 if way == "mode" else _flags(path)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise


def _flags(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        value = array.array("l", [0])
        fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, value)
        return value[0] & 0xFFFFFFFF
    finally:
        os.close(descriptor)
