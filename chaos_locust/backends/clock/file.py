"""The file that libfaketime reads a process's clock from, and the processes that run under one.

A comment line with our mark tells whose the setting is. A setting is `+120` (seconds ahead of the right
time; `+0` is right) or `1795273731` (stands still at that second since 1970).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos_locust.backends.base import MARK
from chaos_locust.errors import BackendError

RIGHT = "+0"
_HEAD = "# The clock of a process, read by libfaketime: chaos-locust sets it."
_LIBRARY = "libfaketimeMT.so.1"
_PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime")
_SETTING = re.compile(r"([+-]\d+(?:\.\d+)?)|(\d+)")
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Setting:
    """text: as in the file. mark: of the fault that set it; None: nobody's. set_s: when, since 1970."""

    text: str
    mark: str | None
    set_s: float

    def now(self, epoch_s: float) -> float:
        """What a clock of this setting says when it is `epoch_s` seconds since 1970."""
        return epoch_s + float(self.text) if self.text[0] in "+-" else float(self.text)


def library() -> Path | None:
    """Where libfaketime is; None: it is not installed."""
    found = (path for place in _PLACES for path in Path("/").glob(f"{place[1:]}/{_LIBRARY}"))
    return next(found, None)


def environment(file: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """In which a process takes its wall clock from `file`. Raises BackendError without libfaketime.

    The file is read at each look at the clock (5 us), so that a change is seen at once and by all processes.
    """
    found = library()
    if found is None:
        raise BackendError("libfaketime is not there; install it (Debian: apt-get install faketime)")
    others = {key: value for key, value in environ.items() if not key.startswith("FAKETIME")}
    return others | {
        "LD_PRELOAD": " ".join(filter(None, [str(found), environ.get("LD_PRELOAD")])),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FMT": "%s",
        "NO_FAKE_STAT": "1",
    }


def make(file: Path) -> None:
    """A clock that is right; one that is there is left as it is. Raises BackendError."""
    if file.exists():
        read(file)
        return
    try:
        file.write_text(f"{_HEAD}\n{RIGHT}\n", encoding="ascii")
        file.chmod(0o644)  # for a process that gives up root's rights
    except OSError as error:
        raise BackendError(f"the clock {file} cannot be made: {error.strerror}") from None


def read(file: Path) -> Setting:
    """Raises BackendError when it is no clock of ours."""
    try:
        with file.open(encoding="ascii") as stream:
            lines = stream.read(_MOST_BYTES).splitlines()
            set_s = os.fstat(stream.fileno()).st_mtime
    except FileNotFoundError:
        raise BackendError(f"the clock {file} is not there; `chaos-locust clock` makes it") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BackendError(f"the clock {file} cannot be read: {reason}") from None
    settings = [line for line in lines if line and not line.startswith("#")]
    marks = [line[2:] for line in lines if line.startswith(f"# {MARK}")]
    if not lines or lines[0] != _HEAD or len(settings) != 1 or not _SETTING.fullmatch(settings[0]):
        raise BackendError(f"{file} is no clock made by `chaos-locust clock`")
    return Setting(settings[0], marks[0] if marks else None, set_s)


def write(file: Path, text: str, mark: str | None) -> None:
    """Whole or not at all, with the owner and the rights that it has. Raises BackendError."""
    lines = [_HEAD, *([f"# {mark}"] if mark else []), text]
    draft = draft_of(file)
    try:
        found = file.stat()
        draft.write_text("\n".join(lines) + "\n", encoding="ascii")
        draft.chmod(found.st_mode & 0o7777)
        if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(draft, found.st_uid, found.st_gid)
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BackendError(f"the clock {file} cannot be set: {error.strerror}") from None


def draft_of(file: Path) -> Path:
    return file.with_name(f".{MARK}{file.name}")


def clock_of(pid: int) -> Path | None:
    """The file that a process was told to read its clock from, and the library is in it; else None."""
    prefix = b"FAKETIME_TIMESTAMP_FILE="
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        found = next((Path(os.fsdecode(v[len(prefix) :])) for v in variables if v.startswith(prefix)), None)
        if found is not None and _LIBRARY in Path(f"/proc/{pid}/maps").read_text(errors="replace"):
            return found
    except OSError:
        pass
    return None


def processes_under(file: Path | None = None) -> Iterator[tuple[int, Path]]:
    """(pid, clock) of every process that we can see under a clock, or under this one; lowest pid first."""
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):
        clock = clock_of(pid)
        if clock is not None and file in (None, clock):
            yield pid, clock
