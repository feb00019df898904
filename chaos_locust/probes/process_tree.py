"""A process together with what it started: a server's workers are the server too."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PARENT, _CPU_TICKS = 1, slice(11, 15)  # fields after the name: utime, stime, and those of ended children


def tree(pid: int) -> list[int]:
    """The process and its descendants, parents first; empty when it is gone."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (fields := _fields(int(name))) is not None:
            children.setdefault(int(fields[_PARENT]), []).append(int(name))
    found = [pid] if _fields(pid) is not None else []
    for member in found:
        found += children.get(member, ())
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of CPU time that these processes, and children of theirs that ended, have used so far."""
    ticks = 0
    for pid in pids:
        if (fields := _fields(pid)) is not None:
            ticks += sum(map(int, fields[_CPU_TICKS]))
    return ticks / _TICKS_PER_S


def _fields(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
