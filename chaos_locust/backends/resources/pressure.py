"""Faults that processes of ours do: cores kept busy, memory taken. They end with their holder."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from chaos_locust.backends.base import Reading, Undo
from chaos_locust.backends.process.held import MARGIN_S, Holders
from chaos_locust.backends.resources.cgroup import check_writable
from chaos_locust.backends.resources.memory import Room, resident_bytes, room_of
from chaos_locust.errors import BackendError
from chaos_locust.faults.resources import CpuPressure, MemoryLeak, MemoryPressure
from chaos_locust.probes.process import ProcessId
from chaos_locust.probes.process_tree import cpu_s, tree

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_READY_LIMIT_S = 5.0
_LATE_S = 0.5
_IDLE = slice(3, 5)  # of a line of /proc/stat: idle, iowait


class Burners:
    """Reading: {cores, busy_s: of these cores together, burned_s: by our processes or None}."""

    def __init__(self, holders: Holders) -> None:
        self._holders = holders

    def prepare(self, fault: CpuPressure, victim: ProcessId, mark: str) -> Undo:
        try:
            allowed = sorted(os.sched_getaffinity(victim.pid))
        except OSError as error:
            raise BackendError(f"the cores of process {victim.pid} are not known: {error.strerror}") from None
        if fault.cores is not None and fault.cores > len(allowed):
            raise BackendError(
                f"cores: {fault.cores} is too many; process {victim.pid} may run on {len(allowed)} cores"
            )
        return {"action": "hold", "cores": allowed[: fault.cores]}

    def begin(self, fault: CpuPressure, undo: Undo) -> None:
        assert fault.duration_s is not None
        job = {"cores": undo["cores"], "share": fault.share}
        self._holders.start(undo["mark"], fault.duration_s + MARGIN_S, job)
        self._holders.wait_for(undo["mark"], "ready", _READY_LIMIT_S)

    def read(self, fault: CpuPressure, undo: Undo) -> Reading:
        names = {f"cpu{core}" for core in undo["cores"]}
        busy_ticks = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *values = line.split()
            if name in names:
                ticks = [int(value) for value in values[:8]]  # the rest is counted in these already
                busy_ticks += sum(ticks) - sum(ticks[_IDLE])
        holder = self._holders.pid(undo["mark"])
        burned_s = None if holder is None else cpu_s(tree(holder)[1:])
        return {"cores": undo["cores"], "busy_s": busy_ticks / _TICKS_PER_S, "burned_s": burned_s}


class Memory:
    """Reading: {due: bytes that must be held by now, held: bytes or None, used: share of the room, where}."""

    def __init__(self, holders: Holders) -> None:
        self._holders = holders
        self._begun: dict[str, tuple[int, float]] = {}

    def prepare(self, fault: MemoryPressure | MemoryLeak, victim: ProcessId, mark: str) -> Undo:
        room = room_of(victim.pid)
        _wanted(fault, room)
        if room.procs is not None:
            check_writable(Path(room.procs))
        return {"action": "hold"}

    def begin(self, fault: MemoryPressure | MemoryLeak, undo: Undo) -> None:
        assert fault.duration_s is not None
        room = room_of(undo["process"]["pid"])
        size = _wanted(fault, room)
        rate = fault.rate_bytes_per_s if isinstance(fault, MemoryLeak) else None
        job = {"bytes": size, "rate": rate, "procs": room.procs}
        self._begun[undo["mark"]] = size, time.monotonic()
        self._holders.start(undo["mark"], fault.duration_s + MARGIN_S, job)
        self._holders.wait_for(undo["mark"], "held" if rate else "ready", _READY_LIMIT_S)

    def read(self, fault: MemoryPressure | MemoryLeak, undo: Undo) -> Reading:
        size, begun_s = self._begun.get(undo["mark"], (0, 0.0))
        if isinstance(fault, MemoryLeak):
            size = min(size, max(0, int(fault.rate_bytes_per_s * (time.monotonic() - begun_s - _LATE_S))))
        holder, held = self._holders.pid(undo["mark"]), None
        if holder is not None:
            resident = resident_bytes(holder)
            told = self._holders.told(undo["mark"]).get("held", 0)
            # What it wrote to, as far as the kernel has it in memory.
            held = None if resident is None else min(resident, told)
        room = room_of(undo["process"]["pid"])
        return {"due": size, "held": held, "used": room.used, "where": room.where}


def _wanted(fault: MemoryPressure | MemoryLeak, room: Room) -> int:
    """Bytes. Raises BackendError when they are not there."""
    size: Any = fault.limit_bytes if isinstance(fault, MemoryLeak) else fault.size_bytes
    what = "limit" if isinstance(fault, MemoryLeak) else "size"
    if isinstance(fault, MemoryPressure) and fault.level is not None:
        what, size = "level", int(fault.level * room.whole) - (room.whole - room.free)
        if size <= 0:
            raise BackendError(
                f"level: the memory {room.where} is {room.used:.0%} full already, of {_mb(room.whole)}"
            )
    if size > room.free - room.reserve:
        raise BackendError(
            f"{what}: {_mb(size)} would be taken, and {_mb(room.free)} are free {room.where}, of which "
            f"{_mb(room.reserve)} have to stay; give less"
        )
    return int(size)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
