"""Faults that a Chaos Mesh in the cluster does. Needs the package kubernetes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaos_locust.backends.base import Effect, Reading, Undo
from chaos_locust.backends.chaos_mesh.body import MARGIN_S, drawn
from chaos_locust.backends.chaos_mesh.effect import chaos_mesh_effect
from chaos_locust.backends.chaos_mesh.object import KINDS
from chaos_locust.backends.chaos_mesh.preflight import chaos_mesh_problems
from chaos_locust.backends.chaos_mesh.wire import (
    create,
    create_ending,
    experiments,
    is_gone,
    remove,
    wait_injected,
)
from chaos_locust.backends.kubernetes.api import Kubernetes, Refused
from chaos_locust.backends.kubernetes.backend import KubernetesBackend, named, where_of
from chaos_locust.backends.kubernetes.look import Look
from chaos_locust.backends.kubernetes.marks import MARK
from chaos_locust.errors import BackendError, PartlyLooked, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.chaos_mesh import ChaosMesh, ChaosMeshFault
from chaos_locust.faults.chaos_mesh_manifest import EMBEDDED
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target


class ChaosMeshBackend(KubernetesBackend):
    """An Undo: as of KubernetesBackend, and where: as in `wire`, body: the experiment as it is
    created."""

    name = "chaos_mesh"

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        assert isinstance(fault, ChaosMeshFault)
        place = f"targets.{target.name}.kubernetes"
        if target.kubernetes is None:
            return [Problem(place, f"is missing; a {fault.kind} needs it")]
        try:
            return chaos_mesh_problems(self._cluster(where_of(plan)), plan, fault, target)
        except BackendError as error:
            return [Problem(place, f"{fault.name}: {error}")]

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        return None

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        assert isinstance(fault, ChaosMeshFault)
        cluster = self._cluster(where_of(plan))
        name = named(run_id, fault.name)
        found, body = drawn(cluster, plan, fault, target, name)
        makes = body["spec"]["type"] if body["kind"] == "Schedule" else None
        space = body["metadata"]["namespace"]
        where = {"kind": body["kind"], "namespace": space, "name": name, "makes": makes}
        return self._undo(cluster, found, name, fault.kind) | {"where": where, "body": body}

    def inject(self, fault: Fault, undo: Undo) -> None:
        cluster = self._of(undo)
        if undo["where"]["makes"] is None:
            create(cluster, undo["body"])
            wait_injected(cluster, undo["where"])
        else:
            assert isinstance(fault, ChaosMesh)
            create_ending(cluster, undo["body"], fault.image, (fault.duration_s or 0.0) + MARGIN_S)

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

    def _marked(self, cluster: Kubernetes, namespace: str | None) -> list[Undo]:
        """Where the cluster has no Chaos Mesh, or not that of it, there is none. Who may not list them is
        refused whether there is one or not."""
        found, forbidden = list[Undo](), list[str]()
        for kind in KINDS:
            try:
                left = cluster.all_of(KINDS[kind], namespace, MARK)
            except Refused as error:
                if error.status == 403:
                    forbidden.append(KINDS[kind].plural)
                elif error.status != 404:
                    raise
            else:
                found += [_scanned(cluster, kind, each) for each in left]
        if forbidden:
            where = "all namespaces" if namespace is None else f"the namespace {namespace}"
            raise PartlyLooked(f"we may not list {', '.join(forbidden)} of Chaos Mesh in {where}", found)
        return found


def _scanned(cluster: Kubernetes, kind: str, found: dict[str, Any]) -> Undo:
    about = found["metadata"]
    makes = found["spec"].get("type") if kind == "Schedule" else None
    return {
        "backend": ChaosMeshBackend.name,
        "action": "experiment",
        "cluster": {**cluster.place, "server": cluster.where},
        "mark": about["labels"][MARK],
        "target": f"pods in {about['namespace']}",
        "where": {
            "kind": kind,
            "namespace": about["namespace"],
            "name": about["name"],
            "makes": makes if makes in EMBEDDED else None,
        },
    }
