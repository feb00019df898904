"""Why Chaos Mesh could not do an experiment now. Changes nothing: it is asked for as a dry run."""

from __future__ import annotations

from typing import Any

from chaos_locust.backends.chaos_mesh_body import drawn, outline, unselected
from chaos_locust.backends.chaos_mesh_object import KINDS, RULES, namespaces, period_s
from chaos_locust.backends.chaos_mesh_wire import create, create_ending
from chaos_locust.backends.kubernetes_api import Kubernetes, Refused
from chaos_locust.backends.kubernetes_rights import Right, rights_to_read, role
from chaos_locust.faults.chaos_mesh import ChaosMesh, ChaosMeshFault
from chaos_locust.faults.chaos_mesh_manifest import GROUP, VERSION, embedded
from chaos_locust.plan.cluster import KubernetesTarget
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.units import format_duration

DRY = "chaos-dry-run"

Json = dict[str, Any]


def chaos_mesh_problems(cluster: Kubernetes, plan: Plan, fault: ChaosMeshFault, target: Target) -> list[str]:
    """Raises BackendError where even that cannot be told."""
    wanted = target.kubernetes
    assert wanted is not None
    if wanted.is_nodes:
        return [f"{fault.kind} needs pods, not {wanted}"]
    body = outline(plan, fault, target, DRY)
    if problem := _absent(cluster, body):
        return [problem]
    if problems := _forbidden(cluster, fault, wanted, body):
        return problems
    found, body = drawn(cluster, plan, fault, target, DRY)
    if isinstance(fault, ChaosMesh) and (problem := unselected(cluster, body, found)):
        return [problem]
    if body["kind"] != "Schedule":
        create(cluster, body, dry=True)
        return []
    assert isinstance(fault, ChaosMesh)
    create_ending(cluster, body, fault.image, 1.0, dry=True)
    every_s, lasts_s = period_s(body), fault.duration_s or 0.0
    if every_s is not None and every_s >= lasts_s:
        for_s = format_duration(lasts_s)
        return [f"it is due every {format_duration(every_s)}, and is there for {for_s}: it would do nothing"]
    return []


def rights_for(body: Json, wanted: KubernetesTarget) -> dict[str, list[Right]]:
    """Namespace -> what an experiment needs there."""
    kind, _ = embedded(body)
    about = body["metadata"]
    plural = KINDS[body["kind"]].plural
    found: dict[str, list[Right]] = {
        about["namespace"]: [(verb, GROUP, plural) for verb in ("create", "get", "delete", "update")]
    }
    if body["kind"] == "Schedule":
        verbs = ("get", "list", "delete", "update")
        found[about["namespace"]] += [(verb, GROUP, KINDS[kind].plural) for verb in verbs]
        found[about["namespace"]] += [(verb, "batch", "jobs") for verb in ("create", "get", "delete")]
    for space in namespaces(body):
        found.setdefault(space, []).append(("list", "", "pods"))
        if kind in RULES:
            found[space] += [(verb, GROUP, RULES[kind].plural) for verb in ("get", "update")]
    seen = rights_to_read(wanted)
    if wanted.service is not None:
        seen += [("get", "", "services"), ("list", "discovery.k8s.io", "endpointslices")]
    found.setdefault(str(wanted.namespace), []).extend(seen)
    return {space: sorted(set(rights)) for space, rights in found.items()}


def _forbidden(cluster: Kubernetes, fault: ChaosMeshFault, wanted: KubernetesTarget, body: Json) -> list[str]:
    problems = []
    for space, rights in rights_for(body, wanted).items():
        missing = [right for right in rights if not cluster.may(*right, namespace=space)]
        if missing:
            words = ", ".join(f"{verb} {resource}.{group}".strip(".") for verb, group, resource in missing)
            problems.append(
                f"{fault.kind} may not {words} in the namespace {space}; this would allow it, bound to its "
                f"user:\n{role(missing, space)}"
            )
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
