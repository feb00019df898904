"""Faults that a Chaos Mesh in the cluster does. Needs the package kubernetes."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from chaos_locust.backends.base import Effect, Reading, Undo, mark
from chaos_locust.backends.chaos_mesh_body import MARGIN_S, drawn
from chaos_locust.backends.chaos_mesh_effect import chaos_mesh_effect
from chaos_locust.backends.chaos_mesh_object import KINDS
from chaos_locust.backends.chaos_mesh_preflight import chaos_mesh_problems
from chaos_locust.backends.chaos_mesh_wire import (
    create,
    create_ending,
    experiments,
    is_gone,
    remove,
    wait_injected,
)
from chaos_locust.backends.kubernetes_api import Kubernetes, Refused
from chaos_locust.backends.kubernetes_change import MARK
from chaos_locust.backends.kubernetes_look import Look
from chaos_locust.backends.link_watch import LinkWatch
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.chaos_mesh import ChaosMesh, ChaosMeshFault
from chaos_locust.faults.chaos_mesh_manifest import EMBEDDED
from chaos_locust.plan.cluster import Cluster
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target

LONGEST_MARK = 57
"""Of a label's value, 63: and what a Schedule makes is called by its name and five letters more."""

SCHEME = "kubernetes"


class ChaosMeshBackend:
    """An Undo: {backend, action: the kind, cluster: kubeconfig and context, mark, target: as in the plan,
    where: as in `chaos_mesh_wire`, body: the experiment as it is created; and for looking on: namespace,
    selector, container, victims: [{namespace, name, uid, container}], nodes, service, may_exec}."""

    name = "chaos_mesh"

    def __init__(self, watch: LinkWatch) -> None:
        self._clusters: dict[str, Kubernetes] = {}
        self._lock = threading.Lock()

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        assert isinstance(fault, ChaosMeshFault)
        place = f"targets.{target.name}.kubernetes"
        if target.kubernetes is None:
            return [Problem(place, f"is missing; a {fault.kind} needs it")]
        try:
            found = chaos_mesh_problems(self._of_plan(plan), plan, fault, target)
        except BackendError as error:
            found = [str(error)]
        return [Problem(place, f"{fault.name} ({fault.kind}): {text}") for text in found]

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        return None

    def build(self, undo: Undo, target: Target) -> None:
        raise BackendError("nothing has to be made before an experiment of Chaos Mesh")

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        assert isinstance(fault, ChaosMeshFault)
        cluster = self._of_plan(plan)
        name = mark(run_id, fault.name, longest=LONGEST_MARK)
        found, body = drawn(cluster, plan, fault, target, name)
        makes = body["spec"]["type"] if body["kind"] == "Schedule" else None
        space = body["metadata"]["namespace"]
        return {
            "backend": self.name,
            "action": fault.kind,
            "cluster": cluster.place,
            "mark": name,
            "target": str(found.target),
            "where": {"kind": body["kind"], "namespace": space, "name": name, "makes": makes},
            "body": body,
            "namespace": found.target.namespace,
            "selector": found.selector,
            "container": found.target.container,
            "victims": found.named(),
            "nodes": [],
            "service": found.service,
            "may_exec": found.may_exec,
        }

    def inject(self, fault: Fault, undo: Undo) -> None:
        cluster = self._of(undo)
        if undo["where"]["makes"] is None:
            create(cluster, undo["body"])
            wait_injected(cluster, undo["where"])
        else:
            assert isinstance(fault, ChaosMesh)
            create_ending(cluster, undo["body"], fault.image, (fault.duration_s or 0.0) + MARGIN_S)

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        raise BackendError(f"a {fault.kind} does not change with time")

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        """The bytes of those pods are counted first that Chaos Mesh chose."""
        mesh = None
        try:
            cluster = self._of(undo)
            mesh = experiments(cluster, undo["where"])
            chosen = {record["pod"] for each in mesh for record in each["records"]}
            victims = sorted(
                undo["victims"], key=lambda pod: f"{pod['namespace']}/{pod['name']}" not in chosen
            )
            reading = Look().at(cluster, undo | {"victims": victims})
        except BackendError as error:
            reading = Look.blind(undo, str(error))
        return reading | {"mesh": mesh, "namespace": undo["namespace"]}

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        assert isinstance(fault, ChaosMeshFault)
        return chaos_mesh_effect(fault, before, during)

    def revert(self, undo: Undo) -> None:
        remove(self._of(undo), undo["where"])

    def verify(self, undo: Undo) -> bool:
        return is_gone(self._of(undo), undo["where"])

    def describe(self, undo: Undo) -> str:
        where = undo["where"]
        return f"the {where['kind']} {where['namespace']}/{where['name']} on {undo['target']}"

    def scan(self, place: str) -> list[Undo]:
        """place: kubernetes://CONTEXT, or kubernetes:// for the current one. Of all namespaces."""
        parts = urlsplit(place)
        if place and parts.scheme != SCHEME:
            return []
        try:
            cluster = self._cluster({"context": parts.netloc} if parts.netloc else {})
            return [undo for kind in KINDS for undo in _left(cluster, kind)]
        except BackendError:
            if place:
                raise
            return []  # nobody need have a cluster

    def _of_plan(self, plan: Plan) -> Kubernetes:
        given = {"kubeconfig": plan.kubernetes.kubeconfig, "context": plan.kubernetes.context}
        return self._cluster({key: value for key, value in given.items() if value is not None})

    def _of(self, undo: Undo) -> Kubernetes:
        return self._cluster(undo["cluster"])

    def _cluster(self, where: dict[str, str]) -> Kubernetes:
        key = json.dumps(where, sort_keys=True)
        with self._lock:
            if key not in self._clusters:
                self._clusters[key] = Kubernetes(Cluster(**where))
            return self._clusters[key]


def _left(cluster: Kubernetes, kind: str) -> list[Undo]:
    """Those of ours of one kind; none where the cluster has no Chaos Mesh, or not that of it."""
    try:
        found = cluster.all_of(KINDS[kind], selector=MARK)
    except Refused as error:
        if error.status == 404:
            return []
        raise
    return [_scanned(cluster, kind, each) for each in found]


def _scanned(cluster: Kubernetes, kind: str, found: dict[str, Any]) -> Undo:
    about = found["metadata"]
    makes = found["spec"].get("type") if kind == "Schedule" else None
    return {
        "backend": ChaosMeshBackend.name,
        "action": "experiment",
        "cluster": cluster.place,
        "mark": about["labels"][MARK],
        "target": f"pods in {about['namespace']}",
        "where": {
            "kind": kind,
            "namespace": about["namespace"],
            "name": about["name"],
            "makes": makes if makes in EMBEDDED else None,
        },
    }
