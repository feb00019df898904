"""What experiments of Chaos Mesh have to be allowed to do, besides looking at the pods of their target."""

from __future__ import annotations

import contextlib
from typing import Any

from chaos_locust.backends.chaos_mesh.body import outline
from chaos_locust.backends.chaos_mesh.object import KINDS, RULES, namespaces
from chaos_locust.errors import BackendError
from chaos_locust.faults.chaos_mesh import ChaosMeshFault
from chaos_locust.faults.chaos_mesh_manifest import GROUP, embedded
from chaos_locust.plan.model import Plan

Right = tuple[str, str, str]
"""(verb, API group, resource)"""


def mesh_rights(body: dict[str, Any]) -> dict[str, list[Right]]:
    """Namespace -> what an experiment needs there."""
    kind, _ = embedded(body)
    own, plural = body["metadata"]["namespace"], KINDS[body["kind"]].plural
    found: dict[str, list[Right]] = {
        own: [(verb, GROUP, plural) for verb in ("create", "get", "delete", "update")]
    }
    if body["kind"] == "Schedule":
        made = KINDS[kind].plural
        found[own] += [(verb, GROUP, made) for verb in ("get", "list", "delete", "update")]
        found[own] += [(verb, "batch", "jobs") for verb in ("create", "get", "delete")]
    for space in namespaces(body):
        found.setdefault(space, []).append(("list", "", "pods"))
        if kind in RULES:
            found[space] += [(verb, GROUP, RULES[kind].plural) for verb in ("get", "update")]
    return {space: sorted(set(rights)) for space, rights in found.items()}


def mesh_rights_of_plan(plan: Plan, namespace: str) -> set[Right]:
    """All that its experiments need there. One that may not be done at all needs nothing."""
    needed = set[Right]()
    for fault in plan.faults:
        if isinstance(fault, ChaosMeshFault):
            with contextlib.suppress(BackendError):
                body = outline(plan, fault, plan.targets[fault.target], fault.name)
                needed.update(mesh_rights(body).get(namespace, ()))
    return needed
