"""Which experiment a fault is, on which pods."""

from __future__ import annotations

import os
import socket
from typing import Any

from chaos_locust.backends.chaos_mesh.object import finished, namespaces, strange
from chaos_locust.backends.kubernetes.api import PODS, Kubernetes
from chaos_locust.backends.kubernetes.victims import Found, find, text_of
from chaos_locust.errors import BackendError
from chaos_locust.faults.chaos_mesh import ChaosMesh, ChaosMeshFault
from chaos_locust.faults.chaos_mesh_manifest import GROUP, VERSION, embedded, selectors
from chaos_locust.faults.chaos_mesh_words import Drawn, MeshNetwork
from chaos_locust.plan.cluster import KubernetesTarget
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target

MARGIN_S = 15.0
"""Chaos Mesh ends an experiment by itself so long after the fault's time: for when all of ours is dead."""

Json = dict[str, Any]


def outline(plan: Plan, fault: ChaosMeshFault, target: Target, name: str) -> Json:
    """The experiment, of which pods are not drawn yet. Raises BackendError for a namespace or target that is
    not allowed."""
    return _body(plan, fault, target, name, [], [])


def drawn(
    cluster: Kubernetes, plan: Plan, fault: ChaosMeshFault, target: Target, name: str
) -> tuple[Found, Json]:
    """The pods that the load has to reach, and the experiment. Raises BackendError where there are none."""
    found = find(cluster, plan, fault, target)
    chosen = [pod["name"] for pod in found.named()] if isinstance(fault, Drawn) else []
    other: list[str] = []
    if isinstance(fault, MeshNetwork) and fault.to is not None:
        everybody = fault.model_copy(update={"count": "all"})
        other = [pod["name"] for pod in find(cluster, plan, everybody, _other(plan, fault)).named()]
    return found, _body(plan, fault, target, name, chosen, other)


def unselected(cluster: Kubernetes, body: Json, found: Found) -> str:
    """Why an experiment of a user would act on nothing, or not on the target; empty: it may act.

    What narrows a selection further (annotations, fields, labels of nodes) is left to Chaos Mesh.
    """
    ours = {_path(pod) for pod in found.pods}
    for index, selector in enumerate(selectors(embedded(body)[1])):
        pods = _candidates(cluster, selector)
        if not pods:
            return f"its {'target.' * index}selector matches no pod now"
        if index == 0 and not pods & ours:
            return f"its selector matches {len(pods)} pods, none of which is of {found.target}"
        if "KUBERNETES_SERVICE_HOST" in os.environ and socket.gethostname() in {
            path.partition("/")[2] for path in pods
        }:
            return "its selector matches the pod that this program runs in, which is never touched"
    return ""


def _body(
    plan: Plan, fault: ChaosMeshFault, target: Target, name: str, chosen: list[str], other: list[str]
) -> Json:
    wanted = target.kubernetes
    if wanted is None or wanted.namespace is None:
        raise BackendError(f"target {target.name} gives no pods in kubernetes")
    manifest = fault.experiment if isinstance(fault, ChaosMesh) else {}
    if isinstance(fault, Drawn):
        kind, spec = fault.spec()
        manifest = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": kind,
            "spec": {**spec, **_pods(wanted, chosen)},
        }
        if fault.takes_container and wanted.container is not None:
            manifest["spec"]["containerNames"] = [wanted.container]
        if isinstance(fault, MeshNetwork) and fault.to is not None:
            far = _other(plan, fault).kubernetes
            assert far is not None
            manifest["spec"]["target"] = _pods(far, other)
    body = finished(manifest, name, wanted.namespace, (fault.duration_s or 0.0) + MARGIN_S)
    if problem := strange(namespaces(body), plan.kubernetes.namespaces):
        raise BackendError(problem)
    return body


def _pods(of: KubernetesTarget, names: list[str]) -> Json:
    space = str(of.namespace)
    return {"mode": "all", "selector": {"namespaces": [space], "pods": {space: names}}}


def _other(plan: Plan, fault: MeshNetwork) -> Target:
    target = plan.targets.get(str(fault.to))
    if target is None or target.kubernetes is None or target.kubernetes.namespace is None:
        raise BackendError(f"to: '{fault.to}' is no target with pods in kubernetes")
    return target


def _candidates(cluster: Kubernetes, selector: Json) -> set[str]:
    """All pods that it may mean, as NAMESPACE/NAME."""
    if selector.get("pods"):
        there = {_path(pod) for space in selector["pods"] for pod in cluster.all_of(PODS, space)}
        return there & {f"{space}/{name}" for space, names in selector["pods"].items() for name in names}
    labels = {
        "matchLabels": selector.get("labelSelectors"),
        "matchExpressions": selector.get("expressionSelectors"),
    }
    nodes, phases = selector.get("nodes"), selector.get("podPhaseSelectors")
    return {
        _path(pod)
        for space in selector["namespaces"]
        for pod in cluster.all_of(PODS, space, text_of(labels))
        if (not nodes or pod["spec"].get("nodeName") in nodes)
        and (not phases or pod["status"].get("phase") in phases)
    }


def _path(pod: Json) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
