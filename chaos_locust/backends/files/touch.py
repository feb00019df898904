"""Who else touches a path: the kernel's own account of opens, reads and writes (inotify), without ours."""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_HEAD = struct.Struct("iIII")
_ACCESS, _MODIFY, _OPEN, _MOVED, _CREATE, _DELETE = 0x1, 0x2, 0x20, 0x40 | 0x80, 0x100, 0x200
_MASK = _ACCESS | _MODIFY | _OPEN | _MOVED | _CREATE | _DELETE
_DONT_FOLLOW = 0x02000000
_IGNORED, _OVERFLOW = 0x8000, 0x4000
_MOST_FOLDERS = 1000

T = TypeVar("T")


class Touches:
    """How often others opened, read, wrote, made or removed what is at `path`, from now on: a lower bound.

    Raises OSError when the kernel grants no watch.
    """

    def __init__(self, path: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._lock = threading.Lock()
        self._count = 0
        # Of a file its folder is watched: the name stays, though the file may be moved or replaced.
        self._name = None if path.is_dir() else os.fsencode(path.name)
        self._file = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            for folder in self._folders(path):
                self._add(folder)
        except OSError:
            self.close()
            raise

    def count(self) -> int:
        with self._lock:
            self._count += self._drain()
            return self._count

    def unseen(self, look: Callable[[], T]) -> T:
        """What `look` does meanwhile is not counted, nor is what others do in that moment."""
        with self._lock:
            self._count += self._drain()
            try:
                return look()
            finally:
                self._drain()

    def close(self) -> None:
        os.close(self._file)

    def _folders(self, path: Path) -> list[Path]:
        if self._name is not None:
            return [path.parent]
        found = [path]
        for folder in found:
            if len(found) >= _MOST_FOLDERS:
                break
            try:
                found += [Path(row.path) for row in os.scandir(folder) if row.is_dir(follow_symlinks=False)]
            except OSError:
                continue  # what may not be looked at is not watched
        return found[:_MOST_FOLDERS]

    def _add(self, folder: Path) -> None:
        if self._libc.inotify_add_watch(self._file, os.fsencode(folder), _MASK | _DONT_FOLLOW) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def _drain(self) -> int:
        seen = 0
        while True:
            try:
                data = os.read(self._file, 1 << 16)
            except BlockingIOError:
                return seen
            at = 0
            while at < len(data):
                _, mask, _, length = _HEAD.unpack_from(data, at)
                name = data[at + _HEAD.size : at + _HEAD.size + length].rstrip(b"\0")
                at += _HEAD.size + length
                if mask & (_IGNORED | _OVERFLOW) == 0 and self._name in (None, name):
                    # Files without a name, such as our holders have, are told as `#` and their inode.
                    seen += not (name[:1] == b"#" and name[1:].isdigit())
