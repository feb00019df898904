"""Faults on a container, done through the Docker API. Needs the package docker."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chaos_locust.backends.base import Effect, Reading, Undo, mark
from chaos_locust.backends.containers.docker import Docker, NotThere, docker_environment
from chaos_locust.backends.containers.effect import container_effect
from chaos_locust.backends.containers.state import (
    cpus_of,
    endpoints_of,
    is_reverted,
    limits_for,
    networks_problem,
    put_back,
)
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.containers import (
    ContainerCpu,
    ContainerDisconnect,
    ContainerKill,
    ContainerMemory,
    ContainerPause,
    ContainerStop,
)
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target

_SCHEMES = ("unix", "tcp")
_ID = re.compile(r"[0-9a-f]{64}")


class ContainersBackend:
    """An Undo: {backend, action: the kind or `nothing`, docker: variables that say where it is, container:
    its id, name, mark}, and `limits` [before, ours] or `networks` {name: how it was connected}."""

    name = "containers"

    def __init__(self, watch: LinkWatch) -> None:
        self._clients: dict[str, Docker] = {}
        self._lock = threading.Lock()

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        place = f"targets.{target.name}"
        if target.container is None:
            return [Problem(place, f"gives no container; a {fault.kind} needs container")]
        try:
            docker = self._docker(docker_environment(os.environ))
            container = docker.container(target.container)
            problem = _untouchable(container) or _unfit(docker, fault, container)
        except NotThere:
            problem = f"there is no container {target.container} at Docker at {docker.where}"
            return [Problem(f"{place}.container", problem)]
        except BackendError as error:
            return [Problem(f"{place}.container", str(error))]
        return [Problem(f"{place}.container", f"{target.container} {problem}")] if problem else []

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        return None

    def build(self, undo: Undo, target: Target) -> None:
        raise BackendError("nothing is made for a container")

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        if target.container is None:
            raise BackendError(f"target {target.name} gives no container")
        environment = docker_environment(os.environ)
        docker = self._docker(environment)
        container = docker.container(target.container)
        if problem := _untouchable(container) or _unfit(docker, fault, container):
            raise BackendError(f"container {target.container} {problem}")
        undo: Undo = {
            "backend": self.name,
            "action": "nothing" if isinstance(fault, ContainerKill) else fault.kind,
            "docker": environment,
            "container": container["Id"],
            "name": target.container,
            "mark": mark(run_id, fault.name),
        }
        if isinstance(fault, ContainerCpu | ContainerMemory):
            undo["limits"] = limits_for(fault, container["HostConfig"])
        elif isinstance(fault, ContainerDisconnect):
            undo["networks"] = endpoints_of(container, fault.network)
        return undo

    def inject(self, fault: Fault, undo: Undo) -> None:
        docker, container = self._docker(undo["docker"]), undo["container"]
        if undo["action"] != "nothing":
            about = {key: value for key, value in undo.items() if key != "docker"}
            docker.note(undo["mark"], json.dumps(about))
        match fault:
            case ContainerKill():
                docker.kill(container, fault.signal)
                _wait_until_down(docker, container)
            case ContainerPause():
                docker.pause(container)
            case ContainerStop():
                docker.stop(container, fault.grace_s)
            case ContainerDisconnect():
                for network in undo["networks"]:
                    docker.disconnect(network, container)
            case _:
                docker.update(container, undo["limits"][1])

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        raise BackendError(f"a {fault.kind} does not change with time")

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        reading: Reading = {"at_s": time.monotonic(), "name": undo["name"], "networks": [], "error": ""}
        reading |= dict.fromkeys(("state", "limits", "throttled", "packets"))
        try:
            docker = self._docker(undo["docker"])
            container = docker.container(undo["container"])
            reading |= {
                "state": container["State"],
                "networks": list(container["NetworkSettings"]["Networks"]),
            }
            if container["State"]["Running"]:
                reading |= _measured(docker.stats(undo["container"]))
        except BackendError as error:
            reading["error"] = str(error)
        return reading

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return container_effect(fault, before, during)

    def revert(self, undo: Undo) -> None:
        if undo["action"] != "nothing":
            docker = self._docker(undo["docker"])
            put_back(docker, undo)
            docker.forget(undo["mark"])

    def verify(self, undo: Undo) -> bool:
        return undo["action"] == "nothing" or is_reverted(self._docker(undo["docker"]), undo)

    def describe(self, undo: Undo) -> str:
        return f"the {undo['action']} of container {undo['name']} ({undo['mark']})"

    def scan(self, place: str) -> list[Undo]:
        environment = docker_environment(os.environ)
        if place:
            if urlsplit(place).scheme not in _SCHEMES:
                return []
            environment |= {"DOCKER_HOST": place}
        try:
            notes = self._docker(environment).notes()
        except BackendError:
            if place:
                raise
            return []  # nobody need have Docker here
        found = []
        for name, text in notes.items():
            try:
                found.append({**json.loads(text), "docker": environment})
            except (ValueError, TypeError):
                raise BackendError(f"the note in the volume {name} cannot be read") from None
        return found

    def _docker(self, environment: dict[str, str]) -> Docker:
        key = json.dumps(environment, sort_keys=True)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = Docker(environment)
            return self._clients[key]


def _untouchable(container: dict[str, Any]) -> str:
    """Why nobody may touch this container; empty: one may."""
    labels = container["Config"].get("Labels") or {}
    words = [*(container["Config"].get("Entrypoint") or ()), *(container["Config"].get("Cmd") or ())]
    if container["Id"] in _own_ids() or container["Id"].startswith(socket.gethostname()):
        return "is the container that this program runs in, which is never touched"
    if labels.get("io.kubernetes.pod.namespace") == "kube-system":
        return "belongs to kube-system, which is never touched"
    if labels.get("io.kubernetes.container.name") == "POD":
        return "is the sandbox of a pod, which is never touched; give a container of the pod"
    if any(Path(word).name in ("locust", "chaos-locust") for word in words[:3]):
        return "is Locust, the load itself, which is never touched"
    return ""


def _own_ids() -> set[str]:
    """Ids of containers that this process may be in, as the kernel shows them."""
    found: set[str] = set()
    for path in ("/proc/self/cgroup", "/proc/self/mountinfo"):
        with contextlib.suppress(OSError):
            found.update(_ID.findall(Path(path).read_text()))
    return found


def _unfit(docker: Docker, fault: Fault, container: dict[str, Any]) -> str:
    """Why this fault cannot be done to it now; empty: it can."""
    state, host = container["State"], container["HostConfig"]
    if not state["Running"] or state.get("Restarting"):
        return f"does not run (it is {state['Status']})"
    if state["Paused"]:
        return "is paused already"
    if isinstance(fault, ContainerStop) and host.get("AutoRemove"):
        return "is removed when it stops (--rm), so it could not be started again"
    if isinstance(fault, ContainerDisconnect):
        return networks_problem(fault, container)
    if isinstance(fault, ContainerCpu):
        limit = cpus_of(host) or docker.host_cpus()
        if fault.cpus >= limit:
            return f"has {limit:g} CPUs; {fault.cpus:g} is no less"
    if isinstance(fault, ContainerMemory) and 0 < int(host["Memory"]) <= fault.memory_bytes:
        return f"is limited to {int(host['Memory']):,} bytes of memory; {fault.memory_bytes:,} is no less"
    return ""


def _wait_until_down(docker: Docker, container: str) -> None:
    """A signal may be caught; then the container is not down."""
    deadline_s = time.monotonic() + 5.0
    while docker.container(container)["State"]["Running"]:
        if time.monotonic() > deadline_s:
            raise BackendError(f"container {container[:12]} lives on 5 s after the signal")
        time.sleep(0.02)


def _measured(stats: dict[str, Any]) -> Reading:
    memory, networks = stats.get("memory_stats") or {}, stats.get("networks")
    return {
        "limits": {"memory": memory["limit"], "used": memory["usage"]} if "usage" in memory else None,
        "throttled": (stats["cpu_stats"].get("throttling_data") or {}).get("throttled_periods"),
        "packets": sum(each["rx_packets"] for each in networks.values()) if networks else None,
    }
