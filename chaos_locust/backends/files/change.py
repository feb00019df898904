"""Changes of files that are put back: corrupted bytes, a cut end, a name moved away.

Each has `prepare` (reads what was), `inject`, `revert` and `left` (what of it is there still, for people;
empty: nothing). Files are opened without following links and known by device and inode, so that whatever
took their place meanwhile is left alone. Errors of the system are the caller's.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import IO, Any

from chaos_locust.backends.base import Undo
from chaos_locust.backends.files import kept as files_kept
from chaos_locust.errors import BackendError

RUN_BYTES = 8
_SURE_BYTES = 3  # so many bytes of ours in a row are no chance (1 in 16 million) where others wrote between
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1

Runs = list[tuple[int, bytes, bytes]]
"""(offset, what was, what we wrote)"""


# -- corrupted bytes ------------------------------------------------------------------------------------


def prepare_corrupt(path: Path, undo: Undo, runs: int, random: Random) -> Undo:
    found = path.lstat()
    if found.st_size == 0:
        raise BackendError(f"{path} is empty: there is nothing to corrupt")
    places = -(-found.st_size // RUN_BYTES)
    rows = []
    with path.open("rb") as file:
        for place in sorted(random.sample(range(places), min(runs, places))):
            file.seek(place * RUN_BYTES)
            was = file.read(RUN_BYTES)
            bad = bytes(byte ^ random.randint(1, 255) for byte in was)
            rows.append([place * RUN_BYTES, was.hex(), bad.hex()])
    return undo | {"runs": rows, "mtime_ns": found.st_mtime_ns}


def inject_corrupt(undo: Undo) -> None:
    with _opened(undo) as file:
        if file is None:
            raise BackendError(f"{undo['path']} was replaced meanwhile")
        for offset, was, bad in _runs(undo):
            if os.pread(file.fileno(), len(was), offset) == was:  # else the target has just written it
                os.pwrite(file.fileno(), bad, offset)
        os.utime(file.fileno(), ns=(file_stat(file).st_atime_ns, undo["mtime_ns"]))


def revert_corrupt(undo: Undo) -> None:
    with _opened(undo) as file:
        if file is None:
            return
        found, changed = file_stat(file), False
        for offset, was, bad in _runs(undo):
            now = os.pread(file.fileno(), len(bad), offset)
            for start, end in ours(now, bad):
                os.pwrite(file.fileno(), was[start:end], offset + start)
                changed = True
        if changed:
            os.fsync(file.fileno())
            os.utime(file.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))


def corrupted(undo: Undo) -> int:
    """How many runs hold bytes of ours now."""
    with _opened(undo, os.O_RDONLY) as file:
        if file is None:
            return 0
        return sum(bool(ours(os.pread(file.fileno(), len(bad), at), bad)) for at, _, bad in _runs(undo))


def ours(now: bytes, bad: bytes) -> list[tuple[int, int]]:
    """The stretches of `now` that are surely what we wrote: all of it, or several bytes in a row."""
    if now == bad:
        return [(0, len(bad))]
    found, start = [], 0
    same = [*(one == other for one, other in zip(now, bad, strict=False)), False]
    for at, is_same in enumerate(same):
        if not is_same:
            if at - start >= _SURE_BYTES:
                found.append((start, at))
            start = at + 1
    return found


def _runs(undo: Undo) -> Runs:
    return [(offset, bytes.fromhex(was), bytes.fromhex(bad)) for offset, was, bad in undo["runs"]]


# -- a cut end ------------------------------------------------------------------------------------------


def prepare_truncate(path: Path, undo: Undo, size: int) -> Undo:
    found = path.lstat()
    if found.st_size <= size:
        raise BackendError(f"{path} has {found.st_size:,} bytes, so nothing of it would be cut off")
    return undo | {"size": size, "was": found.st_size, "mtime_ns": found.st_mtime_ns}


def inject_truncate(undo: Undo) -> None:
    with _opened(undo) as file:
        if file is None or file_stat(file).st_size != undo["was"]:
            raise BackendError(f"{undo['path']} was changed meanwhile")
        files_kept.keep_part(undo, file, undo["size"])
        os.ftruncate(file.fileno(), undo["size"])
        os.utime(file.fileno(), ns=(file_stat(file).st_atime_ns, undo["mtime_ns"]))


def revert_truncate(undo: Undo) -> None:
    """Bytes after the cut are only added to a file that has exactly the size of the cut, or to one that an
    undoing which was cut short has made longer with the same bytes."""
    part = files_kept.part_of(undo)
    with _opened(undo) as file:
        if file is None or not part.exists():
            return
        if _is_changed(undo, file, part):
            raise BackendError(
                f"{undo['path']} was written while it was cut to {undo['size']:,} bytes, so nothing was put "
                f"back; what was cut off is kept in {part}: put it back or remove it, then clean up again"
            )
        found = file_stat(file)
        if found.st_size < undo["was"]:
            file.seek(undo["size"])
            with part.open("rb") as kept:
                shutil.copyfileobj(kept, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
            os.utime(file.fileno(), ns=(found.st_atime_ns, undo["mtime_ns"]))


def left_truncated(undo: Undo) -> str:
    part = files_kept.part_of(undo)
    with _opened(undo, os.O_RDONLY) as file:
        if file is None or not part.exists() or file_stat(file).st_size >= undo["was"]:
            return ""
        return f"{undo['path']} has {file_stat(file).st_size:,} bytes of {undo['was']:,}"


def _is_changed(undo: Undo, file: IO[bytes], part: Path) -> bool:
    """Whether what follows the cut is anything but the beginning of what was there."""
    size = file_stat(file).st_size
    if not undo["size"] <= size <= undo["was"]:
        return True
    file.seek(undo["size"])
    with part.open("rb") as kept:
        while data := file.read(1 << 20):
            if kept.read(len(data)) != data:
                return True
    return False


# -- a name moved away ----------------------------------------------------------------------------------


def prepare_missing(path: Path, undo: Undo) -> Undo:
    if os.path.ismount(path):
        raise BackendError(f"{path} is where something is mounted: it cannot be moved")
    name = f"{undo['mark']}~{path.name}"
    if len(os.fsencode(name)) > os.pathconf(path.parent, "PC_NAME_MAX"):
        raise BackendError(f"the name of {path} is too long: with our mark before it, it cannot be moved")
    return undo | {"aside": str(path.with_name(name))}


def inject_missing(undo: Undo) -> None:
    if not _is_it(Path(undo["path"]), undo):
        raise BackendError(f"{undo['path']} was replaced meanwhile")
    _move(undo["path"], undo["aside"])


def revert_missing(undo: Undo) -> None:
    if os.path.lexists(undo["aside"]):
        _move(undo["aside"], undo["path"])


def found_aside(place: Path) -> Iterator[dict[str, Any]]:
    """What lies in a folder under a name of ours: {mark, path, aside}."""
    try:
        names = sorted(os.listdir(place))
    except OSError as error:
        raise BackendError(f"{place} cannot be looked through: {error.strerror}") from None
    for name in names:
        mark, tilde, was = name.partition("~")
        if tilde and was and mark.startswith("chaos-"):
            yield {"mark": mark, "path": str(place / was), "aside": str(place / name)}


def _move(source: str, target: str) -> None:
    """Never over something that is there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
        return
    number = ctypes.get_errno()
    if number == errno.EEXIST:
        raise BackendError(
            f"{target} was made anew meanwhile and is not overwritten; the original is {source}: remove one"
        )
    raise BackendError(f"{source} cannot be moved to {target}: {os.strerror(number)}")


# -- files ----------------------------------------------------------------------------------------------


def identity(path: Path) -> dict[str, int]:
    found = path.lstat()
    return {"dev": found.st_dev, "ino": found.st_ino}


def file_stat(file: IO[bytes]) -> os.stat_result:
    return os.fstat(file.fileno())


@contextmanager
def _opened(undo: Undo, flags: int = os.O_RDWR) -> Iterator[IO[bytes] | None]:
    """The file itself; None: it is gone, or another has its name, which we need not be able to open."""
    if not _is_it(Path(undo["path"]), undo):
        yield None
        return
    try:
        descriptor = os.open(undo["path"], flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            yield None
            return
        raise
    with os.fdopen(descriptor, "rb" if flags == os.O_RDONLY else "r+b") as file:
        found = file_stat(file)
        yield file if (found.st_dev, found.st_ino) == (undo["dev"], undo["ino"]) else None


def _is_it(path: Path, undo: Undo) -> bool:
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (found.st_dev, found.st_ino) == (undo["dev"], undo["ino"])
