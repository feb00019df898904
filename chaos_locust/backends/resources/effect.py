"""What readings of a process and of what was taken from it prove. Pure.

A reading is one of `process.use.use_reading` and of what does the fault (`limits`,
`pressure`).
"""

from __future__ import annotations

from collections.abc import Sequence

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.link.effect import Proof
from chaos_locust.backends.process.use import process_use
from chaos_locust.faults.base import Fault
from chaos_locust.faults.resources import CpuPressure, CpuThrottle, FileDescriptors, MemoryLimit
from chaos_locust.units import format_share

_LONG_ENOUGH_S = 1.0
_POINTS = 0.05
_ALL_BUSY = 0.95
_FELT = 0.1
_HELD = 0.95


def resources_effect(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    use, what = process_use([*before[-1:], *during], "meanwhile", before, by_cpu=True)
    mechanism, how = _mechanism(fault, before, during)
    return Effect(mechanism, use, f"{how}, {what}")


def _mechanism(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    if not during:
        return None, "it was over before it could be looked at"
    if isinstance(fault, CpuThrottle):
        return _throttled(fault, during)
    if isinstance(fault, CpuPressure):
        return _busy(fault, during)
    if isinstance(fault, MemoryLimit):
        return _capped(before, during)
    if isinstance(fault, FileDescriptors):
        return _used_up(during)
    return _taken(fault, during)


def _throttled(fault: CpuThrottle, during: Sequence[Reading]) -> Proof:
    seen = [reading for reading in during if reading["throttled"] is not None]
    if not seen:
        return False, "the cgroup with the limit is not there"
    first, last = seen[0], seen[-1]
    if last["throttled"] == 0:
        return False, f"the process never came to the limit of {format_share(fault.limit)} of a core"
    text = f"held back in {last['throttled']} of {last['periods']} periods of 100 ms"
    lasted_s = last["at_s"] - first["at_s"]
    if lasted_s < _LONG_ENOUGH_S or first["cpu_s"] is None or last["cpu_s"] is None:
        return True, text
    used = (last["cpu_s"] - first["cpu_s"]) / lasted_s
    text += f", used {used:.0%} of a core where {format_share(fault.limit)} are allowed"
    return used <= fault.limit * (1 + _POINTS) + _POINTS, text


def _busy(fault: CpuPressure, during: Sequence[Reading]) -> Proof:
    seen = [reading for reading in during if reading["burned_s"] is not None]
    if not seen:
        return False, "our processes are gone"
    first, last = seen[0], seen[-1]
    lasted_s = (last["at_s"] - first["at_s"]) * len(last["cores"])
    if lasted_s < _LONG_ENOUGH_S:
        return None, "it was over before it could be measured"
    ours = (last["burned_s"] - first["burned_s"]) / lasted_s
    busy = (last["busy_s"] - first["busy_s"]) / lasted_s
    text = f"{len(last['cores'])} cores {min(busy, 1.0):.0%} busy, {ours:.0%} by our processes"
    # Where the target and others want the rest, nobody gets all that he wants.
    return ours >= fault.share - _POINTS or (busy >= _ALL_BUSY and ours >= _FELT), text


def _taken(fault: Fault, during: Sequence[Reading]) -> Proof:
    last = during[-1]
    if last["held"] is None:
        return False, "our process is gone (was it ended for lack of memory?)"
    if last["due"] == 0:
        return None, "it was over before anything had leaked"
    text = f"{last['held'] / 1e6:,.0f} MB held, memory {last['where']} {last['used']:.0%} full"
    return last["held"] >= _HELD * last["due"], text


def _capped(before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    seen = [reading for reading in during if reading["limit"] is not None]
    if not seen:
        return False, "the cgroup with the limit is not there"
    last = seen[-1]
    earlier = before[-1] if before else {}
    met = (last["met"] or 0) - (earlier.get("met") or 0)
    ended = (last["ended"] or 0) - (earlier.get("ended") or 0)
    used = max(reading["used"] or 0 for reading in seen)
    if met <= 0 and during[-1]["limit"] is None:
        return None, "the process went, and its cgroup with it, before it was seen whether it met the limit"
    if met <= 0:
        return False, f"the limit was never met ({used / 1e6:,.0f} of {last['limit'] / 1e6:,.0f} MB used)"
    return (
        True,
        f"the limit of {last['limit'] / 1e6:,.0f} MB was met {met} times, {ended} processes ended by it",
    )


def _used_up(during: Sequence[Reading]) -> Proof:
    found = [each for reading in during for each in reading["limits"]]
    in_force = [(pid, ours, left) for pid, soft, ours, left in found if soft == ours]
    if not in_force:
        return False, "the limit is not in force"
    pid, ours, left = min(in_force, key=lambda each: each[2])
    if left <= 0:
        return True, f"process {pid} had all of its {ours} descriptors open"
    return None, f"no process was seen at its limit (process {pid} had {left} of {ours} left)"
