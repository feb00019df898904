"""Which files and folders may be touched, and who uses them: looked up once, before anything is changed."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import chaos_locust
from chaos_locust.backends.state import leases_folder
from chaos_locust.errors import BackendError

SPARE_BYTES = 64_000_000
"""What leases and results must have left on a file system that is filled."""

MOST_ENTRIES = 10_000
_SYSTEM = (
    *("/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/boot"),
    *("/proc", "/sys", "/dev", "/run", "/var/run", "/var/lib/dpkg"),
)
_OPEN = ("/dev/shm",)
_CAPS_PAST_MODES = 0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@dataclass(frozen=True, slots=True)
class User:
    """Whose rights a process has. mighty: modes of files do not stop it."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    mighty: bool


def resolved(path: str) -> Path:
    """The file or folder behind `path`, symbolic links followed now and never again.

    Raises BackendError when it is not there, or is one that is never touched.
    """
    try:
        real = Path(path).resolve(strict=True)
        kind = real.stat().st_mode
    except OSError as error:
        raise BackendError(f"{path} cannot be looked at: {error.strerror}") from None
    except RuntimeError:
        raise BackendError(f"{path} is a symbolic link that leads to itself") from None
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise BackendError(f"{path} is neither a file nor a folder")
    behind = f" (which is {real})" if str(real) != os.path.normpath(path) else ""
    if reason := _never_touched(real):
        raise BackendError(f"{path}{behind} {reason}, which is never touched")
    return real


def folder_of(real: Path) -> Path:
    return real if real.is_dir() else real.parent


def file_system_problem(real: Path, root_disk: bool, left_bytes: int) -> str:
    """Why the file system of `real` must not be filled up to so many bytes; empty: it may."""
    device = real.stat().st_dev
    if device == os.stat("/").st_dev and not root_disk:
        return f"{real} is on the root file system; say root_disk: true if that is meant"
    if left_bytes >= SPARE_BYTES:
        return ""
    for what, place in (("leases", leases_folder(os.environ)), ("results", Path.cwd())):
        existing = next(folder for folder in (place, *place.parents) if folder.exists())
        if existing.stat().st_dev == device:
            return (
                f"{real} is on the file system of our {what} ({existing}), which need room themselves; "
                f"give leave: 64MB or more, or another file system"
            )
    return ""


def entries(real: Path) -> list[str]:
    """The paths of everything in `real`, relative to it, folders before what they hold, itself (`.`) first.

    Symbolic links and what is mounted inside are left out. Raises BackendError when it is too much.
    """
    found = []
    for name in _walk(real, real.lstat().st_dev):
        found.append(os.path.relpath(name, real))
        if len(found) > MOST_ENTRIES:
            raise BackendError(
                f"{real} holds more than {MOST_ENTRIES:,} files and folders; name a smaller one"
            )
    return found


def files_in(real: Path) -> list[Path]:
    """The regular files of `entries`."""
    return [real / name for name in entries(real) if stat.S_ISREG((real / name).lstat().st_mode)]


def user_of(real: Path, pid: int | None) -> User:
    """Whose rights count: the process's, without one those of the owner. Raises BackendError."""
    if pid is None:
        found = real.stat()
        return User(found.st_uid, found.st_gid, (), found.st_uid == 0)
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError as error:
        raise BackendError(f"the rights of process {pid} cannot be read: {error.strerror}") from None
    rows = dict(line.split(":", 1) for line in lines)
    mighty = bool(int(rows["CapEff"], 16) & _CAPS_PAST_MODES)
    groups = tuple(map(int, rows["Groups"].split()))
    return User(int(rows["Uid"].split()[3]), int(rows["Gid"].split()[3]), groups, mighty)


def _walk(real: Path, device: int) -> Iterator[str]:
    yield str(real)
    if not real.is_dir():
        return
    folders = [str(real)]
    while folders:
        try:
            rows = list(os.scandir(folders.pop()))
            for row in rows:
                found = row.stat(follow_symlinks=False)
                if found.st_dev == device and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
                    yield row.path
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(row.path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BackendError(f"{real} cannot be looked through: {error.strerror}") from None


def _never_touched(real: Path) -> str:
    for name in _OPEN:
        if real.is_relative_to(name):
            return ""
    if real == Path("/"):
        return "is the root of everything"
    own = {
        "our own package": Path(chaos_locust.__file__).parent,
        "Python itself": Path(sys.prefix),
        "the Python behind ours": Path(sys.base_prefix),
        "our leases": leases_folder(os.environ).parent,
    }
    system = {f"the system's {name}": Path(name) for name in _SYSTEM}
    for what, place in (system | own).items():
        if real.is_relative_to(place) or real.is_relative_to(place.resolve()):
            return f"is in {what}" if real != place else f"is {what}"
        if place.resolve().is_relative_to(real):
            return f"holds {what}"
    if real == Path(tempfile.gettempdir()):
        return "is everybody's folder for temporary files"
    return ""
