"""Every fault in a cluster, each in a namespace of its own in the one that KUBECONFIG names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.crash.cell import Case, Cell, NotHere
from tests.servers.kubernetes_rig import IMAGE, OLD, SCRATCH, Space, admin, namespace, until

REPLICAS = 3
KEPT = (("configmaps", "settings", "limit", "100"), ("secrets", "password", "word", OLD))
WEB = "/apis/apps/v1/{ns}/deployments/web"

Look = Callable[[Space, Any], bool]
"""Whether it acts now, in the namespace, beside the pods that were there at first."""


def cell(kind: str, acting: Look, on_node: bool = False, **parameters: Any) -> Cell:
    @contextmanager
    def make() -> Iterator[Case]:
        if not os.environ.get("KUBECONFIG"):
            raise NotHere("needs a Kubernetes cluster: KUBECONFIG is not set")
        with namespace(admin()) as space:
            space.configure()
            space.apply("deployment", "web", REPLICAS)
            pods = space.pods()
            before = {pod["metadata"]["uid"]: restarts(pod) for pod in pods}
            target: dict[str, Any] = {"namespace": space.name, "deployment": "web"}
            if on_node:
                target = {"node": pods[0]["spec"]["nodeName"]}
                refuse_strangers(space, kind, target["node"])
            yield Case(
                targets={"web": {"kubernetes": target}},
                fault={"kind": kind, "target": "web", **parameters},
                plan={"kubernetes": {"namespaces": [space.name], "nodes": on_node}},
                acting=lambda: acting(space, before),
                left=lambda: left(space, on_node),
            )
            until(lambda: space.marked() == [], f"nothing made for the target is left: {space.marked()}")

    return make


def left(space: Space, on_node: bool) -> str:
    """Of the fault alone: what looks on beside it lives as long as the run."""
    found = [each for each in space.marked() if not each.endswith("-probe") and "-probe-" not in each]
    if not on_node:
        found = [each for each in found if not each.startswith("nodes ")]  # of another cell
    spec = space.ask("GET", WEB)["spec"]
    if spec["replicas"] != REPLICAS:
        found.append(f"{spec['replicas']} replicas")
    if spec["template"]["spec"]["containers"][0]["image"] != IMAGE:
        found.append("another image")
    if spec["template"]["spec"]["containers"][0]["readinessProbe"].get("exec"):
        found.append("another readiness probe")
    for part, name, key, was in KEPT:
        if space.ask("GET", f"/api/v1/{{ns}}/{part}/{name}")["data"].get(key) != was:
            found.append(f"another {key} in {part} {name}")
    found += [f"a process in {pod}" for pod in space.ours_inside()]
    return "; ".join(found)


def refuse_strangers(space: Space, kind: str, node: str) -> None:
    """A drain of pods that are not ours is refused, and a cordon keeps out those of everybody."""
    found = space.ask("GET", "/api/v1/pods", fieldSelector=f"spec.nodeName={node}")["items"]
    strange = {pod["metadata"]["namespace"] for pod in found} - {space.name}
    if strange:
        raise NotHere(f"{kind} needs a node without pods of others, such as {min(strange)}")


def restarts(pod: dict[str, Any]) -> int:
    return sum(each["restartCount"] for each in pod["status"].get("containerStatuses") or ())


def gone(space: Space, before: Any) -> bool:
    return not before.keys() <= {pod["metadata"]["uid"] for pod in space.pods()}


def ended(space: Space, before: Any) -> bool:
    pods = space.pods()
    return any(restarts(pod) > before.get(pod["metadata"]["uid"], 0) for pod in pods) or gone(space, before)


def fewer(space: Space, before: Any) -> bool:
    return len(space.pods()) < len(before)


def more(space: Space, before: Any) -> bool:
    return not {pod["metadata"]["uid"] for pod in space.pods()} <= before.keys()


def slower(space: Space, before: Any) -> bool:
    limits = [pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] for pod in space.pods()]
    return "100m" in limits


def unready(space: Space, before: Any) -> bool:
    new = [pod for pod in space.pods() if pod["metadata"]["uid"] not in before]
    return any(pod["spec"]["containers"][0]["readinessProbe"].get("exec") for pod in new)


def pressed(space: Space, before: Any) -> bool:
    return bool(space.ours_inside())


def spoilt(space: Space, before: Any) -> bool:
    return space.ask("GET", "/api/v1/{ns}/secrets/password")["data"]["word"] != OLD


def cut(space: Space, before: Any) -> bool:
    return bool(space.ask("GET", "/apis/networking.k8s.io/v1/{ns}/networkpolicies")["items"])


def cordoned(space: Space, before: Any) -> bool:
    nodes = space.ask("GET", "/api/v1/nodes", labelSelector="chaos-locust/mark")["items"]
    return any(node["spec"].get("unschedulable") for node in nodes)


CELLS: dict[str, Cell] = {
    "pod_kill": cell("pod_kill", gone),
    "pod_evict": cell("pod_evict", gone),
    "pod_signal": cell("pod_signal", ended),
    "pod_scale": cell("pod_scale", fewer, replicas=1),
    "rollout_restart": cell("rollout_restart", more),
    "rollout_image": cell("rollout_image", more),
    "pod_cpu": cell("pod_cpu", slower, cpus=0.1),
    "rollout_unready": cell("rollout_unready", unready),
    "pod_cpu_pressure": cell("pod_cpu_pressure", pressed),
    "pod_memory_pressure": cell("pod_memory_pressure", pressed, size="20MiB"),
    "pod_disk_full": cell("pod_disk_full", pressed, path=SCRATCH, size="5MB", leave="1MB"),
    "config_change": cell("config_change", spoilt, secret="password", set={"word": "wrong"}),
    "pod_partition": cell("pod_partition", cut, port=8080, image=IMAGE),
    "node_cordon": cell("node_cordon", cordoned, on_node=True),
    "node_drain": cell("node_drain", cordoned, on_node=True),
}
