"""How much memory there is for a process: that of its cgroup where that has a limit, else the machine's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chaos_locust.backends.resources.cgroup import Cgroup, cgroup_of, figures, number
from chaos_locust.errors import BackendError

_LEAST_RESERVE_BYTES = 64_000_000
_RESERVED = 0.05


@dataclass(frozen=True, slots=True)
class Room:
    """In bytes. where: for people. procs: the file that brings a process into it; None: it is the machine.

    free: what can be taken without taking anything but page cache away.
    """

    where: str
    whole: int
    free: int
    procs: str | None

    @property
    def used(self) -> float:
        return 1 - self.free / self.whole

    @property
    def reserve(self) -> int:
        return max(_LEAST_RESERVE_BYTES, int(self.whole * _RESERVED))


def room_of(pid: int) -> Room:
    """The room of the process that is the tightest."""
    machine = {
        name.rstrip(":"): int(value) * 1024
        for name, value, *_ in map(str.split, Path("/proc/meminfo").read_text().splitlines())
    }
    tightest = Room("of the machine", machine["MemTotal"], machine["MemAvailable"], None)
    try:
        own = cgroup_of(pid, "memory")
    except BackendError:
        return tightest
    for folder in (own.folder, *own.folder.parents):
        found = _room_in(own, folder)
        if found is not None and found.free < tightest.free:
            tightest = found
    return tightest


def resident_bytes(pid: int) -> int | None:
    """Anonymous memory that is there now; None: the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")]
    return found[0] if found else None


def _room_in(own: Cgroup, folder: Path) -> Room | None:
    """None: this cgroup has no limit, or it is none."""
    limit = number(folder / ("memory.limit_in_bytes" if own.version == 1 else "memory.max"))
    used = number(folder / ("memory.usage_in_bytes" if own.version == 1 else "memory.current"))
    if limit is None or used is None or limit <= 0:
        return None
    cache = figures(folder / "memory.stat")
    cache_bytes = cache.get("total_inactive_file", cache.get("inactive_file", 0))
    free = max(0, limit - used + cache_bytes)
    return Room(f"of the cgroup {folder}", limit, free, str(own.folder / "cgroup.procs"))
