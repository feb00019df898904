"""Processes as the kernel shows them: who a pid really is, whether it lives, and what it listens on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from chaos_locust.errors import ProbeError

_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process for certain: a pid alone may be given to another process, also after a reboot.

    start_ticks: its start time in clock ticks since boot. boot_id: which boot that was.
    """

    pid: int
    start_ticks: int
    boot_id: str

    @property
    def state(self) -> str | None:
        """The kernel's letter for it (R, S, D, T, ...); None when this process is gone or only a zombie."""
        if self.boot_id != boot_id():
            return None
        found = _stat(self.pid)
        if found is None or found[1] != self.start_ticks or found[0] in "ZX":
            return None
        return found[0]


def boot_id() -> str:
    """A name for the time since the machine was started."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> ProcessId | None:
    """Who has this pid now; None when nobody that lives."""
    found = _stat(pid)
    if found is None or found[0] in "ZX":
        return None
    return ProcessId(pid, found[1], boot_id())


def read_pidfile(path: str) -> int:
    """The pid in a file.

    Raises ProbeError when it cannot be read or is no pid.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ProbeError(f"the pid file {path} cannot be read: {reason}") from None
    first = text.split("\n", 1)[0].strip()  # PostgreSQL's postmaster.pid has more lines
    if not first.isdecimal() or int(first) < 1:
        raise ProbeError(f"the pid file {path} holds {first[:40]!r}, not a pid")
    return int(first)


def ancestors(pid: int) -> list[int]:
    """The pids of its parent, the parent's parent, and so on."""
    found: list[int] = []
    while (parent := _parent(pid)) is not None and parent > 0 and parent not in found:
        found.append(parent)
        pid = parent
    return found


def command_line(pid: int) -> list[str]:
    """Its arguments; empty when it is gone."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [part.decode(errors="replace") for part in raw.rstrip(b"\0").split(b"\0")] if raw else []


def listening_ports(pid: int) -> set[int]:
    """The TCP ports that it listens on.

    Raises ProbeError when its open files cannot be seen (it belongs to another user).
    """
    folder = f"/proc/{pid}/fd"
    inodes = set()
    try:
        for name in os.listdir(folder):
            try:
                link = os.readlink(f"{folder}/{name}")
            except FileNotFoundError:
                continue  # closed meanwhile
            if link.startswith("socket:["):
                inodes.add(link[8:-1])
    except OSError as error:
        raise ProbeError(f"the open files of process {pid} cannot be read: {error.strerror}") from None
    ports = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue  # no IPv6 here
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTEN and fields[9] in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def _stat(pid: int) -> tuple[str, int] | None:
    fields = _stat_fields(pid)
    return (fields[0], int(fields[19])) if fields else None


def _parent(pid: int) -> int | None:
    fields = _stat_fields(pid)
    return int(fields[1]) if fields else None


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; the name before it may hold spaces and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
