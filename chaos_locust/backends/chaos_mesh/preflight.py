"""Why Chaos Mesh could not do an experiment now. Changes nothing: it is asked for as a dry run."""

from __future__ import annotations

from typing import Any

from chaos_locust.backends.chaos_mesh.body import drawn, outline, unselected
from chaos_locust.backends.chaos_mesh.object import KINDS, period_s
from chaos_locust.backends.chaos_mesh.rights import mesh_rights
from chaos_locust.backends.chaos_mesh.wire import create, create_ending
from chaos_locust.backends.kubernetes.api import Kubernetes, Refused
from chaos_locust.backends.kubernetes.preflight import DRY, right_problems
from chaos_locust.backends.kubernetes.rights import rights_of
from chaos_locust.backends.kubernetes.victims import Found
from chaos_locust.errors import Problem
from chaos_locust.faults.chaos_mesh import ChaosMesh, ChaosMeshFault
from chaos_locust.faults.chaos_mesh_manifest import GROUP, VERSION, embedded
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.units import format_duration

Json = dict[str, Any]


def chaos_mesh_problems(
    cluster: Kubernetes, plan: Plan, fault: ChaosMeshFault, target: Target
) -> list[Problem]:
    """Raises BackendError where even that cannot be told."""
    place, wanted = f"targets.{target.name}.kubernetes", target.kubernetes
    assert wanted is not None
    if wanted.is_nodes:
        return [Problem(place, f"{fault.kind} needs pods, not {wanted}")]
    body = outline(plan, fault, target, DRY)
    if problem := _absent(cluster, body):
        return [Problem(place, problem)]
    if problems := _forbidden(cluster, plan, fault, target, body):
        return problems
    found, body = drawn(cluster, plan, fault, target, DRY)
    problem = _unfit(cluster, fault, found, body)
    return [Problem(place, f"{fault.name}: {problem}")] if problem else []


def _unfit(cluster: Kubernetes, fault: ChaosMeshFault, found: Found, body: Json) -> str:
    if isinstance(fault, ChaosMesh) and (problem := unselected(cluster, body, found)):
        return problem
    if body["kind"] != "Schedule":
        create(cluster, body, dry=True)
        return ""
    assert isinstance(fault, ChaosMesh)
    create_ending(cluster, body, fault.image, 1.0, dry=True)
    every_s, lasts_s = period_s(body), fault.duration_s or 0.0
    if every_s is not None and every_s >= lasts_s:
        for_s = format_duration(lasts_s)
        return f"it is due every {format_duration(every_s)}, and is there for {for_s}: it would do nothing"
    return ""


def _forbidden(
    cluster: Kubernetes, plan: Plan, fault: ChaosMeshFault, target: Target, body: Json
) -> list[Problem]:
    wanted = target.kubernetes
    assert wanted is not None
    needed = mesh_rights(body)
    needed[str(wanted.namespace)] = [*needed.get(str(wanted.namespace), ()), *rights_of(fault, wanted)]
    problems = []
    for space, rights in needed.items():
        there = target.model_copy(update={"kubernetes": wanted.model_copy(update={"namespace": space})})
        problems += right_problems(cluster, plan, fault.kind, sorted(set(rights)), there)
    return problems


def _absent(cluster: Kubernetes, body: Json) -> str:
    """Chaos Mesh, or what of it the experiment needs."""
    try:
        group = cluster.ask("GET", f"/apis/{GROUP}")
    except Refused as error:
        if error.status == 404:
            return f"there is no Chaos Mesh in the cluster at {cluster.where}: it does not know {GROUP}"
        raise
    versions = [each["version"] for each in group["versions"]]
    if VERSION not in versions:
        return f"the cluster's Chaos Mesh is of {', '.join(versions)}, and {GROUP}/{VERSION} is needed"
    known = {each["name"] for each in cluster.ask("GET", f"/apis/{GROUP}/{VERSION}")["resources"]}
    for kind in (body["kind"], embedded(body)[0]):
        if KINDS[kind].plural not in known:
            return f"the cluster's Chaos Mesh knows no {kind}; Chaos Mesh 2 or later does"
    return ""
