"""What a container was before a fault, as data, and how it becomes that again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos_locust.backends.base import Undo
from chaos_locust.backends.containers.docker import Docker, NotThere
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault
from chaos_locust.faults.containers import ContainerCpu, ContainerDisconnect, ContainerMemory

PERIOD_US = 100_000
UNLIMITED_BYTES = 9_223_372_036_854_771_712
"""The kernel's own number for no limit: Docker takes a limit away in no other way."""

Limits = dict[str, int]


def limits_for(fault: Fault, host: Mapping[str, Any]) -> tuple[Limits, Limits]:
    """(before, ours) of HostConfig, in the way in which this container is limited already."""
    if isinstance(fault, ContainerMemory):
        names = ("Memory", "MemorySwap")
        return {name: int(host[name]) for name in names}, dict.fromkeys(names, fault.memory_bytes)
    assert isinstance(fault, ContainerCpu)
    if host.get("NanoCpus"):
        return {"NanoCpus": int(host["NanoCpus"])}, {"NanoCpus": round(fault.cpus * 1e9)}
    period = int(host["CpuPeriod"]) or PERIOD_US
    before = {"CpuQuota": int(host["CpuQuota"]), "CpuPeriod": period}
    return before, {"CpuQuota": round(fault.cpus * period), "CpuPeriod": period}


def cpus_of(host: Mapping[str, Any]) -> float | None:
    """What it may use of a CPU's time; None: no limit."""
    if host.get("NanoCpus"):
        return float(host["NanoCpus"]) / 1e9
    quota = int(host["CpuQuota"])
    return quota / (int(host["CpuPeriod"]) or PERIOD_US) if quota > 0 else None


def endpoints_of(container: Mapping[str, Any], only: str | None) -> dict[str, dict[str, Any]]:
    """network -> how the container is connected to it, as arguments of `Docker.connect`."""
    found = {}
    for name, about in container["NetworkSettings"]["Networks"].items():
        if only is not None and name != only:
            continue
        fixed = about.get("IPAMConfig") or {}
        short = container["Id"][:12]
        endpoint = {
            "aliases": [alias for alias in about.get("Aliases") or () if alias != short] or None,
            "links": dict(link.split(":", 1) for link in about.get("Links") or ()) or None,
            "ipv4_address": fixed.get("IPv4Address") or about.get("IPAddress") or None,
            "ipv6_address": fixed.get("IPv6Address") or about.get("GlobalIPv6Address") or None,
        }
        found[name] = {key: value for key, value in endpoint.items() if value is not None}
    return found


def is_reverted(docker: Docker, undo: Undo) -> bool:
    """A container that is gone is as good as before: it was removed by somebody else."""
    try:
        container = docker.container(undo["container"])
    except NotThere:
        return True
    state, host = container["State"], container["HostConfig"]
    match undo["action"]:
        case "container_pause":
            return not state["Paused"]
        case "container_stop":
            return bool(state["Running"])
        case "container_cpu" | "container_memory":
            limited = any(host[name] == ours != before for name, before, ours in _settings(undo))
            return not limited and not _to_be_started(undo, state)
        case "container_disconnect":
            there = container["NetworkSettings"]["Networks"]
            return all(network in there for network in undo["networks"])
    return True


def put_back(docker: Docker, undo: Undo) -> None:
    """Only what is still as we made it. Raises BackendError."""
    try:
        container = docker.container(undo["container"])
    except NotThere:
        return
    name, state, host = undo["container"], container["State"], container["HostConfig"]
    match undo["action"]:
        case "container_pause":
            if state["Paused"]:
                docker.unpause(name)
        case "container_stop":
            if not state["Running"]:
                docker.start(name)
        case "container_cpu" | "container_memory":
            if all(host[key] == ours for key, _, ours in _settings(undo)):
                docker.update(name, {key: _lifted(key, before) for key, before, _ in _settings(undo)})
            if _to_be_started(undo, state):
                docker.start(name)
        case "container_disconnect":
            there = container["NetworkSettings"]["Networks"]
            for network, endpoint in undo["networks"].items():
                if network not in there:
                    _connect(docker, network, name, endpoint)


def _settings(undo: Undo) -> list[tuple[str, int, int]]:
    """(name, before, ours) of each limit."""
    before, ours = undo["limits"]
    return [(name, before[name], ours[name]) for name in ours]


def _lifted(name: str, before: int) -> int:
    """The value that gives `before` back: nought means "as it is" to Docker."""
    if name == "CpuQuota":
        return before or -1
    return before if before > 0 else UNLIMITED_BYTES


def _to_be_started(undo: Undo, state: Mapping[str, Any]) -> bool:
    """Whether our limit ended it."""
    return undo["action"] == "container_memory" and bool(state["OOMKilled"]) and not state["Running"]


def _connect(docker: Docker, network: str, name: str, endpoint: Mapping[str, Any]) -> None:
    """With its addresses where the network allows it, else with those that Docker chooses."""
    try:
        docker.connect(network, name, endpoint)
    except BackendError as error:
        if "user specified IP" not in str(error) and "already in use" not in str(error):
            raise
        rest = {key: value for key, value in endpoint.items() if not key.endswith("_address")}
        docker.connect(network, name, rest)


def networks_problem(fault: ContainerDisconnect, container: Mapping[str, Any]) -> str:
    """Why it cannot be taken off its networks; empty: it can."""
    mode = str(container["HostConfig"].get("NetworkMode", ""))
    if mode in ("host", "none") or mode.startswith("container:"):
        return f"has the network mode {mode}, which cannot be taken from it"
    networks = container["NetworkSettings"]["Networks"]
    if not networks:
        return "is in no network"
    if fault.network is not None and fault.network not in networks:
        return f"is not in the network {fault.network}; it is in {', '.join(sorted(networks))}"
    return ""
