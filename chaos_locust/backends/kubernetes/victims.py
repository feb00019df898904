"""What of a cluster a fault will touch: drawn by the plan's seed from what is ready now."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from chaos_locust.backends.kubernetes.api import NODES, PODS, WORKLOADS, Kind, Kubernetes, Refused
from chaos_locust.backends.kubernetes.reading import container_name, is_ready
from chaos_locust.errors import BackendError
from chaos_locust.faults.kubernetes import KubernetesFault, NodeDrain, PodSignal, how_many
from chaos_locust.plan.cluster import SYSTEM_NAMESPACES, KubernetesTarget
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target

SERVICES = Kind("", "v1", "services")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """pods: all of the target. victims: those that the fault will touch. labels: the LabelSelector of the
    pods, selector: the same as text. service: {name, loaded: whether the load calls it}."""

    target: KubernetesTarget
    pods: Sequence[Json]
    victims: Sequence[Json]
    nodes: Sequence[Json] = ()
    workload: Json | None = None
    labels: Json = field(default_factory=dict)
    selector: str = ""
    service: Json | None = None
    may_exec: bool = False

    @property
    def addresses(self) -> list[str]:
        return [pod["status"]["podIP"] for pod in self.pods if pod["status"].get("podIP")]

    def named(self) -> list[Json]:
        """The victims as data."""
        return [
            {
                "namespace": pod["metadata"]["namespace"],
                "name": pod["metadata"]["name"],
                "uid": pod["metadata"]["uid"],
                "container": container_name(pod, self.target.container),
            }
            for pod in self.victims
        ]


def find(cluster: Kubernetes, plan: Plan, fault: KubernetesFault, target: Target) -> Found:
    """Raises BackendError where there is nothing, or not so many as are asked for."""
    wanted = target.kubernetes
    if wanted is None:
        raise BackendError(f"target {target.name} gives no kubernetes")
    rng = random.Random(f"{plan.seed} {fault.name}")
    service = _service(cluster, plan, wanted)
    if wanted.is_nodes:
        nodes = _drawn(rng, fault, _nodes(cluster, wanted), f"{wanted} that are ready and take pods")
        victims = _evictable(cluster, plan, fault, nodes) if isinstance(fault, NodeDrain) else []
        _keep_ourselves(victims, wanted)
        return Found(wanted, victims, victims, nodes, service=service)
    workload = _workload(cluster, wanted)
    labels = workload["spec"]["selector"] if workload else {}
    selector = text_of(labels) if workload else str(wanted.selector)
    pods = cluster.all_of(PODS, wanted.namespace, selector)
    if not pods and fault.touches == "pods":
        raise BackendError(f"{wanted}: there are no such pods")
    _know_container(pods if workload is None else [workload["spec"]["template"]], wanted)
    ready = sorted(filter(is_ready, pods), key=lambda pod: str(pod["metadata"]["name"]))
    many = getattr(fault, "count", None)
    victims = ready if many is None else _drawn(rng, fault, ready, f"ready pods of {wanted}")
    _keep_ourselves(victims, wanted)
    if isinstance(fault, PodSignal):
        _keep_others(victims)
    may_exec = all(cluster.may(verb, "", "pods/exec", wanted.namespace) for verb in ("get", "create"))
    labels = labels or _labels(selector)
    return Found(wanted, pods, victims, (), workload, labels, selector, service, may_exec)


def text_of(labels: Mapping[str, Any]) -> str:
    """A LabelSelector as the API's lists take it."""
    parts = [f"{key}={value}" for key, value in (labels.get("matchLabels") or {}).items()]
    for each in labels.get("matchExpressions") or ():
        key, values = each["key"], ",".join(each.get("values") or ())
        operators = {"Exists": key, "DoesNotExist": f"!{key}", "In": f"{key} in ({values})"}
        parts.append(operators.get(each["operator"], f"{key} notin ({values})"))
    return ",".join(parts)


def is_movable(pod: Mapping[str, Any]) -> bool:
    """Whether a drain evicts it: not what a daemon set or the node itself keeps there, nor what has ended."""
    owners = [owner["kind"] for owner in pod["metadata"].get("ownerReferences") or ()]
    mirrored = "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {})
    ended = pod["status"].get("phase") in ("Succeeded", "Failed")
    return not ("DaemonSet" in owners or "Node" in owners or mirrored or ended)


def _labels(selector: str) -> Json:
    """Of a selector of equalities alone; a policy needs it as an object."""
    pairs = [part.replace("==", "=").partition("=") for part in selector.split(",")]
    if any(not value or key.endswith("!") or " " in key.strip() for key, _, value in pairs):
        return {}
    return {"matchLabels": {key.strip(): value.strip() for key, _, value in pairs}}


def _drawn(rng: random.Random, fault: KubernetesFault, found: Sequence[Json], what: str) -> list[Json]:
    many = str(getattr(fault, "count", "all"))
    try:
        return rng.sample(list(found), how_many(many, len(found)))
    except ValueError:
        raise BackendError(f"{many} {what} are asked for, and there are {len(found)}") from None


def _workload(cluster: Kubernetes, wanted: KubernetesTarget) -> Json | None:
    if wanted.workload is None:
        return None
    kind, name = wanted.workload
    try:
        return cluster.get(WORKLOADS[kind], wanted.namespace, name)
    except Refused as error:
        if error.status == 404:
            raise BackendError(f"there is no {kind} {name} in the namespace {wanted.namespace}") from None
        raise


def _nodes(cluster: Kubernetes, wanted: KubernetesTarget) -> list[Json]:
    if wanted.node is None:
        found = cluster.all_of(NODES, selector=str(wanted.nodes))
    else:
        try:
            found = [cluster.get(NODES, None, wanted.node)]
        except Refused as error:
            if error.status == 404:
                raise BackendError(f"there is no node {wanted.node}") from None
            raise
    free = [each for each in found if not each["spec"].get("unschedulable")]
    return sorted(filter(is_ready, free), key=lambda node: str(node["metadata"]["name"]))


def _evictable(cluster: Kubernetes, plan: Plan, fault: NodeDrain, nodes: Sequence[Json]) -> list[Json]:
    names = {node["metadata"]["name"] for node in nodes}
    found = [pod for pod in cluster.all_of(PODS) if pod["spec"].get("nodeName") in names and is_movable(pod)]
    strange = {pod["metadata"]["namespace"] for pod in found} - set(plan.kubernetes.namespaces)
    if strange:
        system = strange & set(SYSTEM_NAMESPACES)
        why = "belongs to Kubernetes" if system else "is not in kubernetes.namespaces"
        name = min(system or strange)
        raise BackendError(f"a drain would evict pods of the namespace {name}, which {why}")
    if len(found) > fault.most_pods:
        raise BackendError(f"a drain would evict {len(found)} pods, and most_pods is {fault.most_pods}")
    return found


def _know_container(pods: Sequence[Json], wanted: KubernetesTarget) -> None:
    """pods: or the template that they are made from."""
    for pod in pods:
        names = [each["name"] for each in pod["spec"]["containers"]]
        if wanted.container not in (None, *names):
            raise BackendError(f"{wanted} has no container {wanted.container}; it has {', '.join(names)}")


def _keep_ourselves(victims: Sequence[Json], wanted: KubernetesTarget) -> None:
    """A pod's host name is its own name."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return
    if socket.gethostname() in {pod["metadata"]["name"] for pod in victims}:
        raise BackendError(f"{wanted}: the pod that this program runs in is one of them, and never touched")


def _keep_others(victims: Sequence[Json]) -> None:
    """Process 1 of such a pod is not that of its container, but the node's own, or the pod's."""
    for pod in victims:
        for key in ("hostPID", "shareProcessNamespace"):
            if pod["spec"].get(key):
                name = pod["metadata"]["name"]
                raise BackendError(f"pod {name} has {key}: its process 1 is not that of the container")


def _service(cluster: Kubernetes, plan: Plan, wanted: KubernetesTarget) -> Json | None:
    if wanted.service is None:
        return None
    try:
        found = cluster.get(SERVICES, wanted.namespace, wanted.service)
    except Refused as error:
        if error.status == 404:
            raise BackendError(f"there is no service {wanted.service} in {wanted.namespace}") from None
        raise
    return {"name": wanted.service, "loaded": _is_called(plan, wanted, found)}


def _is_called(plan: Plan, wanted: KubernetesTarget, service: Json) -> bool:
    """Whether the host of the plan is this service: by its name, its addresses, or a port of the nodes."""
    parts = urlsplit(plan.host or "")
    host = (parts.hostname or "").removesuffix(".")
    inside = f"{wanted.service}.{wanted.namespace}"
    if host in (inside, f"{inside}.svc") or host.startswith(f"{inside}.svc."):
        return True
    spec, balanced = service["spec"], (service["status"].get("loadBalancer") or {}).get("ingress") or ()
    known = {*(spec.get("clusterIPs") or ()), *(spec.get("externalIPs") or ())}
    known |= {each.get("ip") or each.get("hostname") for each in balanced}
    ports = {each["nodePort"] for each in spec.get("ports") or () if "nodePort" in each}
    return host in known or parts.port in ports
