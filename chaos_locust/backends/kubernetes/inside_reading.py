"""What commands in containers tell of their memory and disks, and of processes of ours there. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chaos_locust.errors import BackendError
from chaos_locust.faults.kubernetes_inside import PodDiskFull, PodMemoryPressure

RESERVED, LEAST_RESERVE_BYTES = 0.05, 4_000_000
"""Of a container's memory: containers are small, and most of what runs in them is told its limit."""

LEFT_FREE = 0.15
TICKS_PER_S = 100  # of /proc/PID/stat, on all that Kubernetes runs on
_NO_LIMIT = 2**60  # cgroup v1 says so many bytes where there is none

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Room:
    """In bytes. limit: None where the container has none, and its memory is the node's. disk_whole,
    disk_free: of the file system that was asked for."""

    limit: int | None
    free: int
    disk_whole: int = 0
    disk_free: int = 0

    def memory(self, fault: PodMemoryPressure, where: str) -> int:
        """How much is taken. Raises BackendError where it is too much, or nothing."""
        what, size = "size", fault.size_bytes or 0
        if fault.level is not None:
            if self.limit is None:
                raise BackendError(f"level: {where} has no memory limit; give size")
            what, size = "level", int(fault.level * self.limit) - (self.limit - self.free)
            if size <= 0:
                used = 1 - self.free / self.limit
                raise BackendError(f"level: the memory of {where} is {used:.0%} full already")
        reserve = max(LEAST_RESERVE_BYTES, int(RESERVED * (self.limit or self.free)))
        if size > self.free - reserve:
            raise BackendError(
                f"{what}: {_mb(size)} would be taken, and {_mb(self.free)} are free for {where}, of which "
                f"{_mb(reserve)} have to stay; give less"
            )
        return size

    def disk(self, fault: PodDiskFull, where: str) -> int:
        """How much is taken. Raises BackendError where there is nothing to take."""
        leave = fault.leave_bytes
        if leave is None:
            leave = int(LEFT_FREE * self.disk_whole)
        if self.disk_free <= leave:
            raise BackendError(
                f"leave: {_mb(self.disk_free)} are free at {fault.path} of {where}, and {_mb(leave)} have to "
                "stay; give less"
            )
        return min(fault.size_bytes, self.disk_free - leave)


def read_room(text: str) -> Room:
    """Raises BackendError."""
    figures: dict[str, int] = {}
    disk = (0, 0)
    for line in text.splitlines():
        name, *values = line.split() or [""]
        if values and values[0].isdecimal():
            figures[name.rstrip(":")] = int(values[0])
        if len(values) >= 5 and values[3].endswith("%"):
            disk = int(values[0]) * 1024, int(values[2]) * 1024
    if "MemAvailable" not in figures:
        raise BackendError("how much memory is free there cannot be read")
    free = figures["MemAvailable"] * 1024
    limit = figures.get("memory.max", figures.get("memory.limit_in_bytes"))
    used = figures.get("memory.current", figures.get("memory.usage_in_bytes"))
    if limit is None or used is None or limit >= _NO_LIMIT:
        return Room(None, free, *disk)
    cache = figures.get("total_inactive_file", figures.get("inactive_file", 0))
    return Room(limit, min(free, limit - max(0, used - cache)), *disk)


def read_processes(text: str) -> Json:
    """See `inside.look`."""
    found: Json = {"uptime_s": None, "processes": [], "throttled": 0}
    lines = iter(text.splitlines())
    for line in lines:
        words = line.split()
        match words:
            case ["uptime", seconds]:
                found["uptime_s"] = float(seconds)
            case ["process"]:
                process = {"cpu_s": 0.0, "resident_bytes": 0, "room_bytes": 0}
                found["processes"].append(process)
            case ["VmRSS:", size, *_] if found["processes"]:
                process["resident_bytes"] = int(size) * 1024
            case ["nr_throttled", times]:
                found["throttled"] = int(times)
            case [mode, _, _, _, size, *_] if mode.startswith("-") and found["processes"]:
                process["room_bytes"] = int(size)
            case [pid, *_] if pid.isdecimal() and ")" in line and found["processes"]:
                user, system = line.rpartition(")")[2].split()[11:13]
                process["cpu_s"] = (int(user) + int(system)) / TICKS_PER_S
    return found


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
