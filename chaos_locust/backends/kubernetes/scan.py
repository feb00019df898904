"""What in a cluster has our mark, for somebody who has no lease."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from chaos_locust.backends.base import Undo
from chaos_locust.backends.kubernetes.api import JOBS, POLICIES, Kubernetes
from chaos_locust.backends.kubernetes.change import noted
from chaos_locust.backends.kubernetes.config import noted_by_copy
from chaos_locust.backends.kubernetes.marks import KINDS, MARK, is_made
from chaos_locust.errors import BackendError

SCHEME = "kubernetes://"
MADE = {"networkpolicy": POLICIES, "job": JOBS}

Json = dict[str, Any]


def read_place(place: str) -> tuple[str | None, str | None]:
    """(context, namespace) of kubernetes://CONTEXT?namespace=NAME; None: the current context, all namespaces.
    Raises BackendError."""
    context, _, query = place.removeprefix(SCHEME).partition("?")
    asked = parse_qs(query, keep_blank_values=True)
    names = asked.pop("namespace", [])
    if asked or len(names) > 1 or (query and not (names and names[0])):
        raise BackendError(f"'{query}' is not allowed; give namespace=NAME, or nothing for all namespaces")
    return context or None, names[0] if names else None


def marked(cluster: Kubernetes, namespace: str | None, backend: str) -> list[Undo]:
    """Nodes only beside all namespaces. Secrets are not listed: what stands beside their copies tells of
    them. Raises BackendError."""
    found = []
    for kind, where in KINDS.items():
        if kind != "secret" and (where.namespaced or namespace is None):
            found += [_changed(kind, each) for each in _roots(kind, cluster.all_of(where, namespace, MARK))]
    for kind, where in MADE.items():
        for each in cluster.all_of(where, namespace, MARK):
            if "deletionTimestamp" not in each["metadata"]:
                found.append(_found(kind, each) | {"made": [[kind, each["metadata"]["name"]]]})
    place = {**cluster.place, "server": cluster.where}
    return [{"backend": backend, "action": "fault", "cluster": place, **each} for each in found]


def _roots(kind: str, found: Iterable[Json]) -> list[Json]:
    """Without what goes with others: pods with their Jobs, and what was changed with its copy."""
    if kind != "configmap":
        return [each for each in found if not is_made(each)]
    by_mark: dict[str, Json] = {}
    for each in sorted(found, key=is_made):
        by_mark[each["metadata"]["labels"][MARK]] = each
    return list(by_mark.values())


def _changed(kind: str, each: Json) -> Json:
    one = noted_by_copy(each) if is_made(each) else noted(each)
    if one is None:
        return _found(kind, each) | {"lost": [[kind, each["metadata"]["name"]]]}
    return _found(kind, each) | {"changes": [one]}


def _found(kind: str, each: Json) -> Json:
    about = each["metadata"]
    namespace, what = about.get("namespace"), f"{kind} {about['name']}"
    return {
        "mark": about["labels"][MARK],
        "target": what if namespace is None else f"{what} in {namespace}",
        "namespace": namespace,
        "changes": [],
        "made": [],
        "lost": [],
    }
