"""What readings of a container prove of a fault on it. Pure.

A reading: {at_s, name, state: of `docker inspect` or None, networks: names, limits: of its cgroup {memory:
bytes, used: bytes}, throttled: periods so far, packets: received so far or None, error}.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.link.effect import Proof
from chaos_locust.faults.base import Fault
from chaos_locust.faults.containers import (
    ContainerCpu,
    ContainerDisconnect,
    ContainerKill,
    ContainerMemory,
    ContainerPause,
    ContainerStop,
)

_NEARLY = 0.9
_BACKGROUND_PER_S = 2.0  # ARP and the like; one request takes five packets


def container_effect(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    if not during:
        return Effect(None, None, "it was over before it could be looked at")
    seen = [reading for reading in during if reading["state"] is not None]
    if not seen:
        mechanism, how = None, f"Docker did not tell ({during[-1]['error']})"
    else:
        mechanism, how = _mechanism(fault, before, seen)
    gone = isinstance(fault, ContainerKill | ContainerStop | ContainerDisconnect)
    use, what = _use(before, "just before") if gone else _use([*before[-1:], *during], "meanwhile")
    return Effect(mechanism, use, f"{how}, {what}")


def _mechanism(fault: Fault, before: Sequence[Reading], seen: Sequence[Reading]) -> Proof:
    name = seen[-1]["name"]
    match fault:
        case ContainerKill():
            down = not seen[-1]["state"]["Running"] or seen[-1]["state"]["StartedAt"] != _started(before)
            return down, f"container {name} {'went down' if down else 'runs on'}"
        case ContainerStop():
            return _mostly(seen, [not r["state"]["Running"] for r in seen], f"container {name} was down")
        case ContainerPause():
            return _mostly(seen, [r["state"]["Paused"] for r in seen], f"container {name} was paused")
        case ContainerDisconnect():
            left = [fault.network in r["networks"] if fault.network else bool(r["networks"]) for r in seen]
            return _mostly(seen, [not there for there in left], f"container {name} was off the network")
        case ContainerCpu():
            return _throttled([*before[-1:], *seen], name)
    assert isinstance(fault, ContainerMemory)
    return _short_of_memory(fault, seen, name)


def _started(before: Sequence[Reading]) -> str | None:
    return next((r["state"]["StartedAt"] for r in reversed(before) if r["state"] is not None), None)


def _mostly(seen: Sequence[Reading], acting: Sequence[bool], words: str) -> Proof:
    return 2 * sum(acting) > len(seen), f"{words} {sum(acting)} of {len(seen)} times"


def _throttled(seen: Sequence[Reading], name: str) -> Proof:
    periods = [reading["throttled"] for reading in seen if reading["throttled"] is not None]
    if len(periods) < 2:
        return None, f"whether container {name} was throttled is not known"
    throttled = periods[-1] - periods[0]
    return throttled > 0, f"container {name} was throttled in {throttled} periods"


def _short_of_memory(fault: ContainerMemory, seen: Sequence[Reading], name: str) -> Proof:
    if any(reading["state"]["OOMKilled"] for reading in seen):
        return True, f"container {name} was killed for want of memory"
    used = max((reading["limits"]["used"] for reading in seen if reading["limits"]), default=None)
    if used is None:
        return None, f"what container {name} uses is not known"
    share = used / fault.memory_bytes
    return share >= _NEARLY, f"container {name} used {share:.0%} of its limit"


def _use(readings: Sequence[Reading], words: str) -> Proof:
    seen = [reading for reading in readings if reading["packets"] is not None]
    if len(seen) < 2:
        error = next((r["error"] for r in reversed(readings) if r["error"]), "it has no network of its own")
        return None, f"its use is not known ({error})"
    first, last = seen[0], seen[-1]
    packets = max(0, last["packets"] - first["packets"])
    rate = packets / max(last["at_s"] - first["at_s"], 1e-9)
    text = f"{packets:,} packets reached it {words}"
    if 0 < rate <= _BACKGROUND_PER_S:
        return None, f"{text}, which may be the network's own"
    return packets > 0, text
