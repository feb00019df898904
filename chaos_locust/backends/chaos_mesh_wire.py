"""Making and removing experiments of Chaos Mesh, by what they tell of themselves.

Where: {kind, namespace, name, makes: the kind of what a Schedule makes, or None}.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from chaos_locust.backends import kubernetes_made as made
from chaos_locust.backends.chaos_mesh_object import (
    CHILDREN,
    KINDS,
    RULES,
    failure,
    is_held,
    owned,
    told,
    without,
)
from chaos_locust.backends.kubernetes_api import JOBS, Kind, Kubernetes, Refused
from chaos_locust.errors import BackendError

INJECT_LIMIT_S = 20.0
SELECT_LIMIT_S = 4.0
"""Chaos Mesh writes Selected=False before it has looked for pods: empty is what stays so."""

REMOVE_LIMIT_S = 6.0
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
    kind = KINDS[name_of_kind]
    cluster.delete(kind, namespace, name)

    def gone() -> bool:
        return _get(cluster, kind, namespace, name) is None

    if _until(gone, REMOVE_LIMIT_S):
        return
    if (found := _get(cluster, kind, namespace, name)) is None:
        return
    status = told(found)
    waiting = [each for each in status["records"] if each["phase"] == "Not Injected/Wait"]
    if not waiting or is_held(status):
        errors = [each["error"] for each in status["records"] if each["error"]]
        why = " ".join(errors[0].split())[:200] if errors else "its controller does not tell why"
        raise BackendError(f"Chaos Mesh has not ended the {name_of_kind} {name} yet: {why}")
    # it was never injected, and hangs because that has to come first: its rules would stay and be tried on
    for pod in {each["pod"] for each in waiting}:
        _clear_rules(cluster, name_of_kind, pod, f"{namespace}/{name}")
    if _until(gone, CLEARED_LIMIT_S):
        return
    found = _get(cluster, kind, namespace, name)
    if found is not None and not is_held(told(found)):
        _put(cluster, kind, {**found, "metadata": {**found["metadata"], "finalizers": []}})


def _clear_rules(cluster: Kubernetes, name_of_kind: str, pod: str, source: str) -> None:
    namespace, _, name = pod.partition("/")
    rules = _get(cluster, RULES[name_of_kind], namespace, name)
    if rules is not None and (rest := without(rules, source)) is not None:
        _put(cluster, RULES[name_of_kind], rest)


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


def _until(condition: Callable[[], bool], limit_s: float) -> bool:
    give_up_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() >= give_up_s:
            return False
        time.sleep(LOOK_EVERY_S)
    return True
