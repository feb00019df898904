"""Keys of a ConfigMap or a Secret that are changed and put back.

A change as in `change`, with what: config, before: None and ours: {values, restart: (kind, name) or None}.
What was before is in a copy, an object of the same kind that has the mark as its name: values of a Secret
are nowhere else. Beside a Secret's copy stands a ConfigMap of that name, without data: by it `cleanup --scan`
finds the change, though it may list no Secrets.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from chaos_locust.backends.kubernetes import acts
from chaos_locust.backends.kubernetes.api import CONFIGS, Kubernetes
from chaos_locust.backends.kubernetes.marks import (
    KINDS,
    MANAGER,
    MARK,
    NOTE,
    Json,
    get_or_none,
    mark_of,
    still_there,
    unmark,
)
from chaos_locust.backends.kubernetes.victims import Found
from chaos_locust.errors import BackendError
from chaos_locust.faults.kubernetes_config import ConfigChange

_API_KINDS = {"configmap": "ConfigMap", "secret": "Secret"}


def config_change_of(cluster: Kubernetes, fault: ConfigChange, found: Found, mark: str) -> Json:
    """Raises BackendError where it cannot be done."""
    (kind, name), namespace = fault.place, found.target.namespace
    thing = get_or_none(cluster, CONFIGS[kind], namespace, name)
    if thing is None:
        raise BackendError(f"there is no {kind} {name} in the namespace {namespace}")
    if binary := sorted((thing.get("binaryData") or {}).keys() & fault.values):
        raise BackendError(f"{kind} {name}: {binary[0]} is binary data, which has no text to change")
    if fault.restart and found.target.workload is None:
        raise BackendError(f"restart needs a deployment or a statefulset, not {found.target}")
    restart = list(found.target.workload) if fault.restart and found.target.workload else None
    one: Json = {"what": "config", "kind": kind, "namespace": namespace, "name": name, "container": None}
    one |= {"uid": thing["metadata"]["uid"], "before": None, "mark": mark}
    return {**one, "ours": {"values": dict(fault.values), "restart": restart}}


def unfit(cluster: Kubernetes, one: Json) -> Iterator[str]:
    """Why it could not be done, all of it asked for as a dry run. Raises BackendError."""
    if holds_ours(cluster, one):
        yield f"{one['kind']} {one['name']} has these values already"
        return
    for kind, body in _copies(cluster, one):
        cluster.create(CONFIGS[kind], one["namespace"], body, dry=True)
    _patch(cluster, one, one["ours"]["values"], dry=True)


def keep(cluster: Kubernetes, one: Json) -> None:
    """What is before, before it is marked: so what is marked has a copy."""
    for kind, body in _copies(cluster, one):
        cluster.create(CONFIGS[kind], one["namespace"], body)


def put(cluster: Kubernetes, one: Json) -> None:
    _patch(cluster, one, one["ours"]["values"])
    _restart(cluster, one)


def put_back(cluster: Kubernetes, one: Json) -> None:
    """Only what is still as we made it. Idempotent. Raises BackendError."""
    found = still_there(cluster, one)
    if found is not None and mark_of(found) == one["mark"]:
        _restore(cluster, one, found)
        _restart(cluster, one)
        unmark(cluster, one)
    for kind in dict.fromkeys((one["kind"], "configmap")):
        if _copy(cluster, one, kind) is not None:
            cluster.delete(CONFIGS[kind], one["namespace"], one["mark"])


def is_left(cluster: Kubernetes, one: Json) -> bool:
    found = still_there(cluster, one)
    if found is not None and mark_of(found) == one["mark"]:
        return True
    return any(_copy(cluster, one, kind) is not None for kind in {one["kind"], "configmap"})


def holds_ours(cluster: Kubernetes, one: Json) -> bool:
    """Whether the values are there now."""
    found = still_there(cluster, one)
    return found is not None and _values(one, found) == one["ours"]["values"]


def noted_by_copy(found: Mapping[str, Any]) -> Json | None:
    """The change that a copy tells of; None: it tells of none."""
    try:
        one = json.loads((found["metadata"].get("annotations") or {}).get(NOTE, ""))
        known = one["what"] == "config" and one["kind"] in CONFIGS and one["mark"] == mark_of(found)
    except (ValueError, KeyError, TypeError):
        return None
    return dict(one) if known else None


def _restore(cluster: Kubernetes, one: Json, found: Mapping[str, Any]) -> None:
    copy = _copy(cluster, one, one["kind"])
    if copy is None:
        raise BackendError(
            f"{one['kind']} {one['name']} is changed by {one['mark']}, and its copy of that name is gone; "
            f"put it right by hand and take the label {MARK} off"
        )
    now, before, ours = _values(one, found), _values(one, copy), one["ours"]["values"]
    back = {key: before[key] for key in ours if now[key] == ours[key] != before[key]}
    if back:
        _patch(cluster, one, back)


def _restart(cluster: Kubernetes, one: Json) -> None:
    if one["ours"]["restart"] is not None:
        kind, name = one["ours"]["restart"]
        acts.restart(cluster, one["namespace"], (kind, name))


def _copies(cluster: Kubernetes, one: Json) -> Iterator[tuple[str, Json]]:
    """(kind, object), first that by which the others are found."""
    found = cluster.get(KINDS[one["kind"]], one["namespace"], one["name"])
    kept = {key: value for key, value in (found.get("data") or {}).items() if key in one["ours"]["values"]}
    owner = {"apiVersion": "v1", "kind": _API_KINDS[one["kind"]], "name": one["name"], "uid": one["uid"]}
    about = {"name": one["mark"], "labels": {MARK: one["mark"], **MANAGER}, "ownerReferences": [owner]}
    note = {NOTE: json.dumps(one, sort_keys=True, separators=(",", ":"))}
    first = {"metadata": {**about, "annotations": note}}
    yield "configmap", first if one["kind"] == "secret" else {**first, "data": kept}
    if one["kind"] == "secret":
        yield "secret", {"metadata": about, "data": kept}


def _copy(cluster: Kubernetes, one: Json, kind: str) -> Json | None:
    found = get_or_none(cluster, CONFIGS[kind], one["namespace"], one["mark"])
    return found if found is not None and mark_of(found) == one["mark"] else None


def _values(one: Json, found: Mapping[str, Any]) -> dict[str, str | None]:
    data = found.get("data") or {}
    return {key: _text(one, data[key]) if key in data else None for key in one["ours"]["values"]}


def _text(one: Json, value: str) -> str:
    if one["kind"] == "configmap":
        return value
    # bytes that are no text come back as they were
    return base64.b64decode(value).decode(errors="surrogateescape")


def _patch(cluster: Kubernetes, one: Json, values: Mapping[str, str | None], dry: bool = False) -> None:
    data = dict(values)
    if one["kind"] == "secret":
        data = {key: None if value is None else _encoded(value) for key, value in values.items()}
    cluster.patch(KINDS[one["kind"]], one["namespace"], one["name"], {"data": data}, dry=dry)


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode(errors="surrogateescape")).decode()
