"""By what everything is known that is ours in a cluster, or as we made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos_locust.backends.kubernetes.api import CONFIGS, NODES, PODS, WORKLOADS, Kind, Kubernetes, Refused

MARK = "chaos-locust/mark"
"""The label."""

NOTE = "chaos-locust/undo"
"""The annotation that says how it is undone."""

MANAGER = {"app.kubernetes.io/managed-by": "chaos-locust"}
"""A label of what we have made, and not only changed."""

KINDS: Mapping[str, Kind] = {"pod": PODS, "node": NODES, **WORKLOADS, **CONFIGS}
"""Of what is changed."""

Json = dict[str, Any]


def mark_of(found: Mapping[str, Any]) -> str | None:
    return (found["metadata"].get("labels") or {}).get(MARK)


def is_made(found: Mapping[str, Any]) -> bool:
    return MANAGER.items() <= (found["metadata"].get("labels") or {}).items()


def get_or_none(cluster: Kubernetes, kind: Kind, namespace: str | None, name: str) -> Json | None:
    """None: it is not there. Raises BackendError."""
    try:
        return cluster.get(kind, namespace, name)
    except Refused as error:
        if error.status == 404:
            return None
        raise


def still_there(cluster: Kubernetes, one: Json) -> Json | None:
    """What a change is of; None where it is gone, or another one has its name."""
    found = get_or_none(cluster, KINDS[one["kind"]], one["namespace"], one["name"])
    return found if found is not None and found["metadata"]["uid"] == one["uid"] else None


def unmark(cluster: Kubernetes, one: Json) -> None:
    gone = {"metadata": {"uid": one["uid"], "labels": {MARK: None}, "annotations": {NOTE: None}}}
    cluster.patch(KINDS[one["kind"]], one["namespace"], one["name"], gone)
