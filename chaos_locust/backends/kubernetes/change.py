"""What a fault changes in objects that are there, and how they become again what they were.

A change is data: {what, kind, namespace, name, uid, container, before, ours, mark}. While it lasts the object
has a label with that mark, and an annotation with the change itself, so that somebody who has no lease can
undo it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chaos_locust.backends.kubernetes import config, inside
from chaos_locust.backends.kubernetes.api import PODS, Kubernetes
from chaos_locust.backends.kubernetes.marks import KINDS, MARK, NOTE, Json, mark_of, still_there, unmark
from chaos_locust.backends.kubernetes.reading import container_name, cpus
from chaos_locust.backends.kubernetes.victims import Found, text_of
from chaos_locust.errors import BackendError
from chaos_locust.faults.kubernetes import (
    KubernetesFault,
    NodeCordon,
    PodCpu,
    PodScale,
    RolloutImage,
    RolloutUnready,
)

_KEYS = {"what", "kind", "namespace", "name", "uid", "container", "before", "ours", "mark"}

_ROLLED_OUT = ("image", "readiness")
"""What a rollout brings, so that it is in pods too."""

UNREADY = {
    "exec": {"command": ["false"]},  # where there is no such program it fails as well
    "periodSeconds": 1,
    "timeoutSeconds": 5,
    "successThreshold": 1,
    "failureThreshold": 1,
}
"""A probe with everything that the server would add, so that it is known again."""


def change(
    mark: str, what: str, kind: str, found: Mapping[str, Any], container: str | None, ours: Any
) -> Json:
    """Of an object as the server shows it. container: where it is a container's setting."""
    about = found["metadata"]
    name = container_name(_pod_of(kind, found), container) if kind != "node" else None
    data = {"what": what, "kind": kind, "namespace": about.get("namespace"), "name": about["name"]}
    data |= {"uid": about["uid"], "container": name, "ours": ours, "mark": mark}
    return {**data, "before": value(data, found)}


def changes_of(fault: KubernetesFault, found: Found, mark: str) -> list[Json]:
    """What the fault would change now. Raises BackendError where it could not be put back."""
    container = found.target.container
    match fault:
        case PodScale():
            return [_of_workload(mark, "replicas", found, fault.replicas)]
        case RolloutImage():
            return [_of_workload(mark, "image", found, fault.image)]
        case RolloutUnready():
            return [_of_workload(mark, "readiness", found, UNREADY)]
        case PodCpu():
            return [
                change(mark, "cpu", "pod", pod, container, lowered(pod, container, fault.cpus))
                for pod in found.victims
            ]
        case NodeCordon():
            return [change(mark, "unschedulable", "node", node, None, True) for node in found.nodes]
    return []


def _of_workload(mark: str, what: str, found: Found, ours: Any) -> Json:
    assert found.target.workload is not None
    assert found.workload is not None
    return change(mark, what, found.target.workload[0], found.workload, found.target.container, ours)


def value(of: Mapping[str, Any], found: Mapping[str, Any]) -> Any:
    """What the object has there now."""
    match of["what"]:
        case "replicas":
            return int(found["spec"].get("replicas", 1))
        case "unschedulable":
            return bool(found["spec"].get("unschedulable", False))
        case "image":
            return _container(of, found)["image"]
        case "readiness":
            return _container(of, found).get("readinessProbe")
        case "process":  # which nothing in the object tells of
            return None
    resources = _container(of, found).get("resources") or {}
    return {part: (resources.get(part) or {}).get("cpu") for part in ("limits", "requests")}


def lowered(found: Mapping[str, Any], container: str | None, limit: float) -> Json:
    """CPU limits and requests of a pod's container with that limit: a request is never above it.

    Raises BackendError where it could not be put back, or would not be done in place.
    """
    name, pod = container_name(found, container), found["metadata"]["name"]
    one = next(each for each in found["spec"]["containers"] if each["name"] == name)
    resources = one.get("resources") or {}
    if (resources.get("limits") or {}).get("cpu") is None:
        raise BackendError(
            f"pod {pod} has no CPU limit, and Kubernetes takes none from a pod again: it could not be undone"
        )
    policies = {each["resourceName"]: each["restartPolicy"] for each in one.get("resizePolicy") or ()}
    if policies.get("cpu", "NotRequired") != "NotRequired":
        raise BackendError(f"pod {pod} has a resizePolicy by which its container would be started again")
    request = (resources.get("requests") or {}).get("cpu")
    ours = {"limits": f"{round(limit * 1000)}m", "requests": request}
    if request is not None and cpus(request) > limit:
        ours["requests"] = ours["limits"]
    return ours


def make(cluster: Kubernetes, one: Json, dry: bool = False, lasts_s: float = 0.0) -> None:
    """Raises BackendError, also where another fault has changed it already: each would put back what the
    other made. What is to say who did it comes first: without it nothing is changed. lasts_s: of processes,
    which end by themselves then."""
    kind = KINDS[one["kind"]]
    other = mark_of(cluster.get(kind, one["namespace"], one["name"]))
    if other not in (None, one["mark"]):
        undone = "`chaos-locust cleanup --scan` undoes it if its run is dead"
        raise BackendError(f"{one['kind']} {one['name']} is changed by {other} already; {undone}")
    if not dry:
        if one["what"] == "config":
            config.keep(cluster, one)
        note = json.dumps({key: one[key] for key in sorted(one)}, separators=(",", ":"))
        about = {"labels": {MARK: one["mark"]}, "annotations": {NOTE: note}}
        body = {"metadata": {"uid": one["uid"], **about}}
        cluster.patch(kind, one["namespace"], one["name"], body)
    match one["what"]:
        case "process" if not dry:
            inside.begin(cluster, one, lasts_s)
        case "config" if not dry:
            config.put(cluster, one)
        case "process" | "config":
            pass  # what has a check of its own
        case _:
            cluster.patch(kind, one["namespace"], one["name"], _body(one, one["ours"]), _part(one), dry)


def take_back(cluster: Kubernetes, one: Json) -> None:
    """Only what is still as we made it. Idempotent. Raises BackendError."""
    if one["what"] == "config":
        config.put_back(cluster, one)
        return
    found = still_there(cluster, one)
    if found is None or mark_of(found) not in (None, one["mark"]):
        return
    kind = KINDS[one["kind"]]
    if same(one, value(one, found), one["ours"]) and not same(one, one["before"], one["ours"]):
        cluster.patch(kind, one["namespace"], one["name"], _body(one, one["before"]), _part(one))
    if one["what"] == "process":
        inside.end(cluster, one, found)
    if one["what"] in _ROLLED_OUT and one["kind"] == "statefulset":
        _unblock(cluster, one, found)
    if mark_of(found) is not None:
        unmark(cluster, one)


def is_left(cluster: Kubernetes, one: Json) -> bool:
    if one["what"] == "config":
        return config.is_left(cluster, one)
    found = still_there(cluster, one)
    return found is not None and mark_of(found) == one["mark"]


def same(one: Json, left: Any, right: Any) -> bool:
    if one["what"] != "cpu":
        return bool(left == right)
    return all(
        (left[part] is None) == (right[part] is None)
        and (left[part] is None or cpus(left[part]) == cpus(right[part]))
        for part in ("limits", "requests")
    )


def noted(found: Mapping[str, Any]) -> Json | None:
    """The change of itself that an object tells of; None: it tells of none."""
    about = found["metadata"]
    try:
        one = json.loads((about.get("annotations") or {}).get(NOTE, ""))
    except ValueError:
        return None
    if not isinstance(one, dict) or one.keys() != _KEYS or one["kind"] not in KINDS:
        return None
    known = one["uid"] == about["uid"] and one["mark"] == mark_of(found)
    return one if known else None


def _unblock(cluster: Kubernetes, one: Json, found: Mapping[str, Any]) -> None:
    """A stateful set waits for its newest pod to be ready, also where that pod never will be."""
    for pod in cluster.all_of(PODS, one["namespace"], text_of(found["spec"]["selector"])):
        about = pod["metadata"]
        if value(one | {"kind": "pod"}, pod) == one["ours"] != one["before"]:
            cluster.delete(PODS, one["namespace"], about["name"], about["uid"], grace_s=0)


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
        case "readiness":  # as a whole: a probe of two kinds is refused
            probe = {"$patch": "replace", **ours} if ours else None
            container = {"name": one["container"], "readinessProbe": probe}
            return {"spec": {"template": {"spec": {"containers": [container]}}}}
    resources = {part: {"cpu": ours[part]} for part in ("limits", "requests")}
    return {"spec": {"containers": [{"name": one["container"], "resources": resources}]}}
