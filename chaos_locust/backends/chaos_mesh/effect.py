"""What readings of a cluster prove of an experiment of Chaos Mesh. Pure.

A reading: as in `kubernetes.effect`, and namespace: of its pods, mesh: what each experiment tells, as in
`object`, or None where that is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.chaos_mesh.object import failure
from chaos_locust.backends.kubernetes.effect import load_use
from chaos_locust.backends.link.effect import Proof
from chaos_locust.faults.chaos_mesh import ChaosMesh, ChaosMeshFault

_CUTS = (
    ("PodChaos", "pod-kill"),
    ("PodChaos", "pod-failure"),
    ("PodChaos", "container-kill"),
    ("NetworkChaos", "partition"),
    ("NetworkChaos", "loss"),
    ("NetworkChaos", "netem"),
)
"""(kind, action) after which nothing may reach the pods any more: that it did just before is use as well."""

Json = dict[str, Any]


def chaos_mesh_effect(fault: ChaosMeshFault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    if not during:
        return Effect(None, None, "it was over before it could be looked at")
    seen = [reading for reading in during if reading["mesh"] is not None]
    if not seen:
        return Effect(None, None, f"the cluster did not tell ({during[-1]['error']})")
    repeats = isinstance(fault, ChaosMesh) and fault.experiment["kind"] == "Schedule"
    mechanism, how = _repeated(seen) if repeats else _injected(seen)
    use, what = _use(fault, before, during)
    return Effect(mechanism, use, f"{how}, {what}")


def _injected(seen: Sequence[Reading]) -> Proof:
    """All records are Injected, and stayed so from when they first were."""
    there = [each for reading in seen for each in reading["mesh"]]
    acted = [each for each in there if each["injected"]]
    if not seen[-1]["mesh"] or there[-1]["deleting"]:
        return False, "somebody removed the experiment before its end"
    if not acted:
        return False, failure(there[-1])
    records = there[-1]["records"]
    if not all(each["injected"] for each in there[there.index(acted[0]) :]):
        return False, f"{failure(there[-1])}, though it was injected at {_times(acted[-1]['records'])}"
    return True, f"all {len(records)} records are Injected (at {_times(records)}){_restarted(seen, records)}"


def _repeated(seen: Sequence[Reading]) -> Proof:
    """Of a Schedule: each experiment that it made was injected. The last one may have just begun."""
    last = seen[-1]["mesh"]
    most = max((reading["mesh"] for reading in seen), key=len)
    if not most:
        return False, "it was not due yet: no experiment was made"
    acted = [each for each in most if each["records"] and all(r["injected_at"] for r in each["records"])]
    failed = [each for each in [*most, *last] if any(record["error"] for record in each["records"])]
    records = [record for each in acted for record in each["records"]]
    words = f"{len(acted)} of {len(most)} experiments were injected"
    if failed:
        return False, f"{words}; {failure(failed[-1])}"
    return bool(acted), f"{words} (at {_times(records)})" if acted else f"{words}; {failure(most[-1])}"


def _use(fault: ChaosMeshFault, before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    """By what reached the pods that Chaos Mesh chose."""
    records = [each for reading in during for one in reading["mesh"] or () for each in one["records"]]
    paths = {record["pod"] for record in records if record["key"] == "."}
    if not paths:
        return None, "which pods it chose is not known"
    chosen = {
        uid
        for reading in (*before, *during)
        for uid, pod in (reading["pods"] or {}).items()
        if f"{reading['namespace']}/{pod['name']}" in paths
    }
    if not chosen:
        return None, "none of the pods that it chose was seen among those of the target"
    earlier, later = ([_only(each, chosen) for each in part] for part in (before, during))
    use, what = load_use([*earlier[-1:], *later], "meanwhile")
    if use is not True and fault.acts in _CUTS:
        was, told = load_use(earlier, "just before")
        return (was, told) if was is not None else (use, what)
    return use, what


def _only(reading: Reading, chosen: set[str]) -> Reading:
    received = {uid: count for uid, count in reading["received"].items() if uid in chosen}
    return reading | {"victims": sorted(chosen), "received": received}


def _times(records: Iterable[Json]) -> str:
    """When Chaos Mesh says that it injected them, to a second."""
    times = sorted({str(each["injected_at"]) for each in records if each["injected_at"]})
    if not times:
        return "a time that is not told"
    return times[0] if len(times) == 1 else f"{times[0]} to {times[-1]}"


def _restarted(seen: Sequence[Reading], records: Sequence[Json]) -> str:
    """Chaos Mesh does not go after a container that was started again."""
    paths = {record["pod"] for record in records}
    known = [reading for reading in seen if reading["pods"] is not None]
    if not known:
        return ""
    first, last = known[0], known[-1]["pods"]
    again = [
        uid
        for uid, pod in first["pods"].items()
        if f"{first['namespace']}/{pod['name']}" in paths
        and uid in last
        and last[uid]["restarts"] > pod["restarts"]
    ]
    return f"; {len(again)} of their containers were started again since" if again else ""
