"""Faults in a small API server for unit tests, prepared and injected as the guardian does it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaos_locust.backends.kubernetes.api import Kubernetes
from chaos_locust.backends.kubernetes.backend import KubernetesBackend
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.errors import BackendError
from chaos_locust.faults.registry import KINDS
from chaos_locust.plan.model import Plan
from tests.servers.kubernetes_api import FakeApi

MIB = 1024 * 1024
MEMORY = """memory.max 67108864
memory.current 16777216
inactive_file 4194304
MemAvailable: 8000000 kB
"""
DISK = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda 1000000 600000 400000 60% /data\n"


class Container:
    """Answers as a shell in a container does: tells of its memory and disk, and of what was begun in it by
    the mark. broken: why nothing can be run in it. code, text: what it answers about itself. seen: what it
    answers about what was begun."""

    def __init__(self) -> None:
        self.begun: dict[str, list[str]] = {}
        self.ran: list[str] = []
        self.broken = ""
        self.code, self.text = 0, MEMORY + DISK
        self.seen = ""

    def run(
        self, namespace: str, pod: str, container: str, command: list[str],
        limit_s: float = 10.0, until: str = "",
    ) -> tuple[int | None, str]:  # fmt: skip
        if self.broken:
            raise BackendError(self.broken)
        script = command[2]
        self.ran.append(script)
        if script.startswith("export CHAOS_LOCUST"):
            self.begun[command[4]] = command[6:]
            return None, "started\n"
        if "kill -9" in script:
            self.begun.pop(command[4], None)
            return 0, ""
        if "echo process" in script:
            return 0, self.seen
        return self.code, self.text


WEB = {"namespace": "shop", "deployment": "web", "service": "web"}
PARAMETERS: dict[str, dict[str, Any]] = {
    "pod_scale": {"replicas": 1},
    "pod_cpu": {"cpus": 0.1},
    "pod_partition": {"port": 8080},
    "pod_memory_pressure": {"size": "20MiB"},
    "pod_disk_full": {"path": "/data", "size": "1GB", "leave": "1MB"},
    "config_change": {"config_map": "settings", "set": {"limit": "1"}},
}


class World:
    def __init__(self, api: FakeApi, config: str) -> None:
        self.api, self.config = api, config
        self.backend = KubernetesBackend(LinkWatch())

    def plan(self, kind: str, target: Any = None, seed: int = 1, **parameters: Any) -> Plan:
        lasting = {} if KINDS[kind].instant else {"for": "30s"}
        fault = {"name": "it", "kind": kind, "target": "web", "at": "1s", **lasting}
        return Plan.from_json(
            {
                "name": "p",
                "seed": seed,
                "host": "http://web.shop",
                "kubernetes": {"kubeconfig": self.config, "namespaces": ["shop"], "nodes": True},
                "targets": {"web": {"kubernetes": target or WEB}},
                "faults": [fault | PARAMETERS.get(kind, {}) | parameters],
            }
        )

    def problems(self, kind: str, target: Any = None, **parameters: Any) -> list[str]:
        plan = self.plan(kind, target, **parameters)
        found = self.backend.preflight(plan, plan.faults[0], plan.targets["web"])
        return [str(problem) for problem in found]

    def prepare(self, kind: str, target: Any = None, run_id: str = "r1", **parameters: Any) -> Any:
        plan = self.plan(kind, target, **parameters)
        return plan.faults[0], self.backend.prepare(run_id, plan, plan.faults[0], plan.targets["web"])

    def inject(self, kind: str, target: Any = None, run_id: str = "r1", **parameters: Any) -> Any:
        fault, undo = self.prepare(kind, target, run_id, **parameters)
        self.backend.inject(fault, undo)
        return json.loads(json.dumps(undo))  # as it comes back from a lease

    def names(self, plural: str = "pods") -> set[str]:
        return {name for kind, _, name in self.api.objects if kind == plural}

    def marked(self) -> list[str]:
        objects = self.api.objects.items()
        return [key[2] for key, each in objects if "chaos-locust/mark" in each["metadata"].get("labels", {})]

    def container(self, monkeypatch: pytest.MonkeyPatch) -> Container:
        """What commands in containers are answered by from now on."""
        made = Container()
        monkeypatch.setattr(Kubernetes, "run", made.run)
        return made
