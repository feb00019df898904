"""Making and removing experiments of Chaos Mesh, by what they tell of themselves.

Where: {kind, namespace, name, makes: the kind of what a Schedule makes, or None}.
"""

from __future__ import annotations

import time
from typing import Any

from chaos_locust.backends.chaos_mesh.object import (
    CHILDREN,
    KINDS,
    RULES,
    WAITS,
    failure,
    hangs,
    is_settled,
    owned,
    told,
    without,
)
from chaos_locust.backends.kubernetes import made
from chaos_locust.backends.kubernetes.api import JOBS, Kind, Kubernetes, Refused
from chaos_locust.errors import BackendError

INJECT_LIMIT_S = 12.0
SELECT_LIMIT_S = 4.0
"""Chaos Mesh writes Selected=False before it has looked for pods: empty is what stays so."""

REMOVE_LIMIT_S = 6.0
HANGS_AFTER_S = 2.0
CLEARED_LIMIT_S = 3.0
LOOK_EVERY_S = 0.2

Json = dict[str, Any]


def create(cluster: Kubernetes, body: Json, dry: bool = False) -> None:
    """Raises BackendError: Refused also for a key that its definition does not know."""
    kind = KINDS[body["kind"]]
    query = [("fieldValidation", "Strict"), *([("dryRun", "All")] if dry else [])]
    cluster.ask("POST", kind.path(body["metadata"]["namespace"]), query, body)


def create_ending(cluster: Kubernetes, body: Json, image: str, lasts_s: float, dry: bool = False) -> None:
    """A Schedule, which knows no end: the cluster removes it with a Job of ours that ends."""
    about = body["metadata"]
    job = cluster.create(JOBS, about["namespace"], made.end(about["name"], image, lasts_s), dry)
    create(cluster, owned(body, job), dry)


def wait_injected(cluster: Kubernetes, where: Json) -> None:
    """Until Chaos Mesh tells that it acts on all pods. Raises BackendError that says why it does not."""
    began_s = time.monotonic()
    while True:
        found = _get(cluster, KINDS[where["kind"]], where["namespace"], where["name"])
        if found is None or "deletionTimestamp" in found["metadata"]:
            raise BackendError(f"somebody removed the {where['kind']} {where['name']} at once")
        status, since_s = told(found), time.monotonic() - began_s
        if status["injected"]:
            return
        empty = status["selected"] is False and not status["records"] and since_s > SELECT_LIMIT_S
        if empty or since_s > INJECT_LIMIT_S:
            raise BackendError(f"Chaos Mesh did not inject the {where['kind']}: {failure(status)}")
        time.sleep(LOOK_EVERY_S)


def experiments(cluster: Kubernetes, where: Json) -> list[Json]:
    """What each experiment tells: of a Schedule those that it made, and that are still kept."""
    if where["makes"] is not None:
        return [told(each) for each in _made(cluster, where)]
    found = _get(cluster, KINDS[where["kind"]], where["namespace"], where["name"])
    return [] if found is None else [told(found)]


def remove(cluster: Kubernetes, where: Json) -> None:
    """Idempotent. Raises BackendError where Chaos Mesh has not taken it back out of all pods yet."""
    _remove(cluster, where["kind"], where["namespace"], where["name"])
    if where["makes"] is not None:
        cluster.delete(JOBS, where["namespace"], where["name"])
        for each in _made(cluster, where):
            _remove(cluster, where["makes"], where["namespace"], each["metadata"]["name"])


def is_gone(cluster: Kubernetes, where: Json) -> bool:
    if _get(cluster, KINDS[where["kind"]], where["namespace"], where["name"]) is not None:
        return False
    if where["makes"] is None:
        return True
    job = _get(cluster, JOBS, where["namespace"], where["name"])
    return not _made(cluster, where) and (job is None or "deletionTimestamp" in job["metadata"])


def _remove(cluster: Kubernetes, name_of_kind: str, namespace: str, name: str) -> None:
    kind, began_s = KINDS[name_of_kind], time.monotonic()
    cluster.delete(kind, namespace, name)
    while (found := _get(cluster, kind, namespace, name)) is not None:
        status, since_s = told(found), time.monotonic() - began_s
        if hangs(status) and since_s > HANGS_AFTER_S:
            _clear(cluster, name_of_kind, found, status)
            return
        if since_s > REMOVE_LIMIT_S:
            errors = [each["error"] for each in status["records"] if each["error"]]
            why = " ".join(errors[0].split())[:200] if errors else "it does not tell why"
            raise BackendError(f"Chaos Mesh has not ended the {name_of_kind} {name} yet: {why}")
        time.sleep(LOOK_EVERY_S)


def _clear(cluster: Kubernetes, name_of_kind: str, found: Json, status: Json) -> None:
    """Of one that hangs: its rules would stay in the pods, be tried on, and keep others from theirs."""
    kind, about = KINDS[name_of_kind], found["metadata"]
    pods = {each["pod"] for each in status["records"] if each["phase"] == WAITS}
    give_up_s = time.monotonic() + CLEARED_LIMIT_S
    source = f"{about['namespace']}/{about['name']}"
    while pods := {pod for pod in pods if not _is_cleared(cluster, name_of_kind, pod, source)}:
        if time.monotonic() >= give_up_s:
            raise BackendError(f"Chaos Mesh has not taken the {name_of_kind} {source} out of its pods yet")
        time.sleep(LOOK_EVERY_S)
    while (rest := _get(cluster, kind, about["namespace"], about["name"])) is not None:
        if time.monotonic() >= give_up_s:
            if hangs(told(rest)):
                _put(cluster, kind, {**rest, "metadata": {**rest["metadata"], "finalizers": []}})
            return
        time.sleep(LOOK_EVERY_S)


def _is_cleared(cluster: Kubernetes, name_of_kind: str, pod: str, source: str) -> bool:
    """Takes the rules of an experiment out of a pod's; whether that is done there."""
    namespace, _, name = pod.partition("/")
    rules = _get(cluster, RULES[name_of_kind], namespace, name)
    if rules is None:
        return True
    if (rest := without(rules, source)) is None:
        return is_settled(rules)
    _put(cluster, RULES[name_of_kind], rest)
    return False


def _put(cluster: Kubernetes, kind: Kind, body: Json) -> None:
    """Of the version that was read: where it has changed since, the next try decides anew."""
    about = body["metadata"]
    try:
        cluster.ask("PUT", kind.path(about["namespace"], about["name"]), body=body)
    except Refused as error:
        if error.status not in (404, 409):
            raise


def _made(cluster: Kubernetes, where: Json) -> list[Json]:
    return cluster.all_of(KINDS[where["makes"]], where["namespace"], f"{CHILDREN}={where['name']}")


def _get(cluster: Kubernetes, kind: Kind, namespace: str, name: str) -> Json | None:
    try:
        return cluster.get(kind, namespace, name)
    except Refused as error:
        if error.status == 404:
            return None
        raise
