"""The object of Chaos Mesh that a fault is: as it is made, and what it tells of itself. Pure.

What it tells: {selected: None before anybody looked, injected, recovered, stopping: Chaos Mesh knows that it
is to end, deleting, records: [{id, pod: NAMESPACE/NAME, key: `.` for the pods that it acts on, phase,
injected_at, recovered_at: in RFC 3339 or None, error: of the last failure, where it came last}]}.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from chaos_locust.backends.kubernetes.api import Kind
from chaos_locust.backends.kubernetes.marks import MANAGER, MARK
from chaos_locust.faults.chaos_mesh_manifest import GROUP, PLURALS, VERSION, embedded, selectors
from chaos_locust.plan.cluster import SYSTEM_NAMESPACES
from chaos_locust.units import format_duration, parse_duration

Json = dict[str, Any]

KINDS: Mapping[str, Kind] = {name: Kind(GROUP, VERSION, plural) for name, plural in PLURALS.items()}

RULES: Mapping[str, Kind] = {
    "NetworkChaos": Kind(GROUP, VERSION, "podnetworkchaos"),
    "IOChaos": Kind(GROUP, VERSION, "podiochaos"),
    "HTTPChaos": Kind(GROUP, VERSION, "podhttpchaos"),
}
"""Where Chaos Mesh notes, for each pod by its name, what the experiments of such a kind want of it."""

WAITS = "Not Injected/Wait"
"""The phase of a record whose rules were handed on to a pod."""

KEPT = 100
"""So many finished experiments a Schedule keeps that does not say it: by them it is seen what it did."""

CHILDREN = "managed-by"
"""The label that Chaos Mesh gives to what a Schedule makes: the Schedule's name."""


def finished(manifest: Json, mark: str, namespace: str, lasts_s: float) -> Json:
    """The experiment as it is created: named and labelled, limited in time, its namespaces spelled out.
    namespace: where the manifest gives none. lasts_s: until Chaos Mesh ends it by itself."""
    body = copy.deepcopy(manifest)
    given = body.get("metadata") or {}
    space = str(given.get("namespace") or namespace)
    labels = {**(given.get("labels") or {}), MARK: mark, **MANAGER}
    body["metadata"] = {"name": mark, "namespace": space, "labels": labels}
    if given.get("annotations"):
        body["metadata"]["annotations"] = given["annotations"]
    _, spec = embedded(body)
    if body["kind"] == "Schedule":
        body["spec"].setdefault("historyLimit", KEPT)
        spec.setdefault("duration", format_duration(lasts_s))
    else:
        spec["duration"] = format_duration(lasts_s)
    for selector in selectors(spec):
        if not selector.get("namespaces") and not selector.get("pods"):
            selector["namespaces"] = [space]  # without a webhook it would be all of them
    return body


def owned(body: Json, owner: Mapping[str, Any]) -> Json:
    """The same, removed by the cluster with a Job, as the server shows that."""
    about = owner["metadata"]
    belongs = {"apiVersion": "batch/v1", "kind": "Job", "name": about["name"], "uid": about["uid"]}
    return {**body, "metadata": {**body["metadata"], "ownerReferences": [belongs]}}


def namespaces(body: Json) -> list[str]:
    """Those of a finished experiment: its own, and those of its pods."""
    found = {body["metadata"]["namespace"]}
    for selector in selectors(embedded(body)[1]):
        found |= set(map(str, selector.get("pods") or selector.get("namespaces") or ()))
    return sorted(found)


def strange(found: Sequence[str], allowed: Sequence[str]) -> str:
    """Why the first of these namespaces must not be touched; empty: all of them may be."""
    for each in found:
        if each in SYSTEM_NAMESPACES:
            return f"the namespace {each} belongs to Kubernetes itself, and is never touched"
        if each not in allowed:
            return f"the namespace {each} is not allowed; put it into kubernetes.namespaces to allow it"
    return ""


def told(found: Mapping[str, Any]) -> Json:
    """What an object tells of itself; of one that nobody looked after: nothing is selected or injected."""
    status = found.get("status") or {}
    conditions = {each["type"]: each["status"] == "True" for each in status.get("conditions") or ()}
    experiment = status.get("experiment") or {}
    return {
        "selected": conditions.get("Selected"),
        "injected": conditions.get("AllInjected", False),
        "recovered": conditions.get("AllRecovered", False),
        "stopping": experiment.get("desiredPhase") == "Stop",
        "deleting": "deletionTimestamp" in found["metadata"],
        "records": [_record(each) for each in experiment.get("containerRecords") or ()],
    }


def failure(status: Json) -> str:
    """Why it is not injected, in the words of Chaos Mesh."""
    if status["selected"] is None:
        return "nobody looks after it: is the controller of Chaos Mesh running?"
    if not status["records"]:
        return "it selects no pod"
    left = [each for each in status["records"] if each["phase"] != "Injected"]
    errors = [each["error"] for each in left if each["error"]]
    words = f"{len(left)} of {len(status['records'])} are not injected ({left[0]['id']}: {left[0]['phase']})"
    return f"{words}: {' '.join(errors[0].split())[:200]}" if errors else words


def hangs(status: Json) -> bool:
    """Whether it is to end, and Chaos Mesh waits for what may never come: that its rules, which it handed on
    to pods, come into force."""
    phases = {each["phase"] for each in status["records"]}
    return status["stopping"] and WAITS in phases and phases <= {WAITS, "Not Injected"}


def without(rules: Mapping[str, Any], source: str) -> Json | None:
    """The rules of a pod without those of an experiment (NAMESPACE/NAME); None: it has none of them."""
    spec = {
        key: [each for each in value if each.get("source") != source] if isinstance(value, list) else value
        for key, value in rules["spec"].items()
    }
    return None if spec == rules["spec"] else {**rules, "spec": spec}


def is_settled(rules: Mapping[str, Any]) -> bool:
    """Whether Chaos Mesh has done, or tried, what the rules of a pod are now."""
    observed = (rules.get("status") or {}).get("observedGeneration", 0)
    return int(observed) >= int(rules["metadata"]["generation"])


def period_s(body: Json) -> float | None:
    """How often a Schedule of `@every` is due; None where it is due by the clock, or in words of Go's own."""
    word, _, every = str(body["spec"].get("schedule", "")).partition(" ")
    try:
        return parse_duration(every.strip()) if word == "@every" else None
    except ValueError:
        return None


def _record(record: Mapping[str, Any]) -> Json:
    events = record.get("events") or ()
    last = events[-1] if events else {}
    return {
        "id": record["id"],
        "pod": "/".join(record["id"].split("/")[:2]),
        "key": record["selectorKey"],
        "phase": record["phase"],
        "injected_at": _when(events, "Apply"),
        "recovered_at": _when(events, "Recover"),
        "error": last.get("message", "") if last.get("type") == "Failed" else "",
    }


def _when(events: Sequence[Mapping[str, Any]], operation: str) -> str | None:
    done = [
        each["timestamp"] for each in events if (each["operation"], each["type"]) == (operation, "Succeeded")
    ]
    return str(done[-1]) if done else None
