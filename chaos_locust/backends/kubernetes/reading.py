"""What pods and nodes are like at one moment, as JSON data. Pure.

A pod: {name, container, ready, deleting, restarts, node, running: whether its container
runs, waiting: why it does not, cpus: its limit in
force}. They are by their uid, for a pod of a stateful set that was made again has the same name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]


def pods_of(found: Iterable[Mapping[str, Any]], container: str | None) -> dict[str, Json]:
    return {pod["metadata"]["uid"]: _pod(pod, container) for pod in found}


def _pod(pod: Mapping[str, Any], container: str | None) -> Json:
    name = container_name(pod, container)
    status: Mapping[str, Any] = next(
        (each for each in pod["status"].get("containerStatuses") or () if each["name"] == name), {}
    )
    limits = (status.get("resources") or {}).get("limits") or {}
    return {
        "name": pod["metadata"]["name"],
        "container": name,
        "ready": is_ready(pod),
        "deleting": "deletionTimestamp" in pod["metadata"],
        "restarts": int(status.get("restartCount", 0)),
        "node": pod["spec"].get("nodeName") or "",
        "running": "running" in (status.get("state") or {}),
        "waiting": _waits(status.get("state") or {}),
        "cpus": cpus(limits["cpu"]) if "cpu" in limits else None,
    }


def _waits(state: Mapping[str, Any]) -> str:
    for each in ("waiting", "terminated"):
        if state.get(each):
            return str(state[each].get("reason") or each)
    return ""


def container_name(pod: Mapping[str, Any], container: str | None) -> str:
    """Of the one that is meant, by default the first."""
    return container or str(pod["spec"]["containers"][0]["name"])


def is_ready(pod: Mapping[str, Any]) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod["status"].get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def scales(scaler: Mapping[str, Any], workload: tuple[str, str]) -> bool:
    """Whether an autoscaler is that of a (kind, name)."""
    scaled = scaler["spec"]["scaleTargetRef"]
    return (scaled["kind"].lower(), scaled["name"]) == workload


def serving(slices: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """uid -> node of each pod that is a ready endpoint of a service."""
    return {
        endpoint["targetRef"]["uid"]: endpoint.get("nodeName") or ""
        for part in slices
        for endpoint in part.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") and "uid" in (endpoint.get("targetRef") or {})
    }


def cpus(quantity: str) -> float:
    """Kubernetes' words for CPU time: `500m`, `2`, `100000n`."""
    for unit, factor in (("m", 1e-3), ("u", 1e-6), ("n", 1e-9)):
        if quantity.endswith(unit):
            return float(quantity[:-1]) * factor
    return float(quantity)


def received_bytes(proc_net_dev: str) -> int | None:
    """Of all devices but the loopback, from the text of /proc/net/dev."""
    total, seen = 0, False
    for line in proc_net_dev.splitlines():
        device, _, counts = line.partition(":")
        received = next(iter(counts.split()), "")
        if device.strip() != "lo" and received.isdecimal():
            total, seen = total + int(received), True
    return total if seen else None
