"""What a fault changes in objects that are there, and how they become again what they were.

A change is data: {what, kind, namespace, name, uid, container, before, ours}. While it lasts the object has
our label, and an annotation with the change itself, so that somebody who has no lease can undo it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chaos_locust.backends.kubernetes_api import NODES, PODS, WORKLOADS, Kind, Kubernetes, Refused
from chaos_locust.backends.kubernetes_reading import container_name, cpus

MARK = "chaos-locust/mark"
"""The label of everything that is ours, or as we made it."""

NOTE = "chaos-locust/undo"

KINDS: Mapping[str, Kind] = {"pod": PODS, "node": NODES, **WORKLOADS}

Json = dict[str, Any]


def change(what: str, kind: str, found: Mapping[str, Any], container: str | None, ours: Any) -> Json:
    """Of an object as the server shows it. container: where it is a container's setting."""
    about = found["metadata"]
    name = container_name(_pod_of(kind, found), container) if kind != "node" else None
    data = {"what": what, "kind": kind, "namespace": about.get("namespace"), "name": about["name"]}
    data |= {"uid": about["uid"], "container": name, "ours": ours}
    return {**data, "before": value(data, found)}


def value(of: Mapping[str, Any], found: Mapping[str, Any]) -> Any:
    """What the object has there now."""
    match of["what"]:
        case "replicas":
            return int(found["spec"].get("replicas", 1))
        case "unschedulable":
            return bool(found["spec"].get("unschedulable", False))
        case "image":
            return _container(of, found)["image"]
    resources = _container(of, found).get("resources") or {}
    return {part: (resources.get(part) or {}).get("cpu") for part in ("limits", "requests")}


def lowered(found: Mapping[str, Any], container: str | None, limit: float) -> Json:
    """CPU limits and requests of a pod's container with that limit: a request is never above it."""
    pod = container_name(found, container)
    one = next(each for each in found["spec"]["containers"] if each["name"] == pod)
    request = ((one.get("resources") or {}).get("requests") or {}).get("cpu")
    ours = {"limits": f"{round(limit * 1000)}m", "requests": request}
    if request is not None and cpus(request) > limit:
        ours["requests"] = ours["limits"]
    return ours


def make(cluster: Kubernetes, one: Json, mark: str, dry: bool = False) -> None:
    """Raises BackendError. What is to say who did it comes first: without it nothing is changed."""
    kind = KINDS[one["kind"]]
    if not dry:
        note = json.dumps({key: one[key] for key in sorted(one)}, separators=(",", ":"))
        about = {"labels": {MARK: mark}, "annotations": {NOTE: note}}
        body = {"metadata": {"uid": one["uid"], **about}}
        cluster.patch(kind, one["namespace"], one["name"], body)
    cluster.patch(kind, one["namespace"], one["name"], _body(one, one["ours"]), _part(one), dry)


def take_back(cluster: Kubernetes, one: Json) -> None:
    """Only what is still as we made it. Idempotent. Raises BackendError."""
    if (found := still_there(cluster, one)) is None:
        return
    kind = KINDS[one["kind"]]
    if same(one, value(one, found), one["ours"]) and not same(one, one["before"], one["ours"]):
        cluster.patch(kind, one["namespace"], one["name"], _body(one, one["before"]), _part(one))
    if MARK in (found["metadata"].get("labels") or {}):
        gone = {"metadata": {"uid": one["uid"], "labels": {MARK: None}, "annotations": {NOTE: None}}}
        cluster.patch(kind, one["namespace"], one["name"], gone)


def is_left(cluster: Kubernetes, one: Json) -> bool:
    found = still_there(cluster, one)
    return found is not None and MARK in (found["metadata"].get("labels") or {})


def still_there(cluster: Kubernetes, one: Json) -> Json | None:
    """The object; None where it is gone, or another one has its name."""
    try:
        found = cluster.get(KINDS[one["kind"]], one["namespace"], one["name"])
    except Refused as error:
        if error.status == 404:
            return None
        raise
    return found if found["metadata"]["uid"] == one["uid"] else None


def same(one: Json, left: Any, right: Any) -> bool:
    if one["what"] != "cpu":
        return bool(left == right)
    return all(
        (left[part] is None) == (right[part] is None)
        and (left[part] is None or cpus(left[part]) == cpus(right[part]))
        for part in ("limits", "requests")
    )


def noted(found: Mapping[str, Any]) -> Json | None:
    """The change that an object tells of; None: it tells of none."""
    note = (found["metadata"].get("annotations") or {}).get(NOTE)
    return None if note is None else dict(json.loads(note))


def _pod_of(kind: str, found: Mapping[str, Any]) -> Mapping[str, Any]:
    template: Mapping[str, Any] = found if kind == "pod" else found["spec"]["template"]
    return template


def _container(of: Mapping[str, Any], found: Mapping[str, Any]) -> Json:
    containers = _pod_of(of["kind"], found)["spec"]["containers"]
    return dict(next(each for each in containers if each["name"] == of["container"]))


def _part(one: Json) -> str:
    return "resize" if one["what"] == "cpu" else ""


def _body(one: Json, ours: Any) -> Json:
    match one["what"]:
        case "replicas":
            return {"spec": {"replicas": ours}}
        case "unschedulable":
            return {"spec": {"unschedulable": ours or None}}
        case "image":
            image = {"name": one["container"], "image": ours}
            return {"spec": {"template": {"spec": {"containers": [image]}}}}
    resources = {part: {"cpu": ours[part]} for part in ("limits", "requests")}
    return {"spec": {"containers": [{"name": one["container"], "resources": resources}]}}
