"""What readings prove of processes of ours in containers. Pure. See `inside.look`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaos_locust.backends.base import Reading
from chaos_locust.backends.link.effect import Proof
from chaos_locust.faults.kubernetes_inside import Inside, PodCpuPressure, PodMemoryPressure

BUSY, HELD = 0.5, 0.9
"""Of what is asked for, so much has to be used or held."""


def inside_mechanism(fault: Inside, seen: Sequence[Reading]) -> Proof:
    """In those of the victims that are looked into."""
    looks: dict[str, list[Mapping[str, Any]]] = {}
    for reading in seen:
        for uid, look in reading["inside"].items():
            looks.setdefault(uid, []).append(look)
    if not looks:
        return None, "nobody could look into the containers"
    judge = _used if isinstance(fault, PodCpuPressure) else _held
    proofs = [judge(fault, found) for found in looks.values()]
    texts = "; ".join(text for _, text in proofs)
    if any(proved is None for proved, _ in proofs):
        return None, texts
    return all(proved for proved, _ in proofs), texts


def _used(fault: Inside, looks: Sequence[Mapping[str, Any]]) -> Proof:
    """By the CPU time that they have had between two looks."""
    assert isinstance(fault, PodCpuPressure)
    there = [look for look in looks if look["processes"] and look["uptime_s"] is not None]
    if len(there) < 2:
        if len(looks) >= 2:
            return False, "our processes are not there"
        return None, "they were looked at once only"
    first, last = there[0], there[-1]
    lasted_s = last["uptime_s"] - first["uptime_s"]
    if lasted_s <= 0:
        return None, "no time passed between the looks"
    cores = (_cpu_s(last) - _cpu_s(first)) / lasted_s
    throttled = last["throttled"] - first["throttled"]
    words = f"our processes used {cores:.2f} cores of {fault.cores}, and it was throttled {throttled} times"
    return cores > 0 and (cores >= BUSY * fault.cores or throttled > 0), words


def _held(fault: Inside, looks: Sequence[Mapping[str, Any]]) -> Proof:
    """By what the one that has most holds; the others share it, or have little."""
    key = "resident_bytes" if isinstance(fault, PodMemoryPressure) else "room_bytes"
    most = [max((each[key] for each in look["processes"]), default=0) for look in looks]
    due = looks[-1]["due"]
    times = sum(held >= HELD * due for held in most)
    words = f"{max(most) / 1e6:,.1f} MB of {due / 1e6:,.1f} MB were held, {times} of {len(most)} times"
    return times > 0, words


def _cpu_s(look: Mapping[str, Any]) -> float:
    return float(sum(each["cpu_s"] for each in look["processes"]))
