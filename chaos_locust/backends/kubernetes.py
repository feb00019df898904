"""Faults in a Kubernetes cluster, done through its API alone. Needs the package kubernetes."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from chaos_locust.backends import kubernetes_made as made
from chaos_locust.backends.base import Effect, Reading, Undo, mark
from chaos_locust.backends.kubernetes_api import JOBS, POLICIES, WORKLOADS, Kubernetes, Refused
from chaos_locust.backends.kubernetes_change import (
    KINDS,
    MARK,
    change,
    is_left,
    lowered,
    make,
    noted,
    take_back,
)
from chaos_locust.backends.kubernetes_effect import kubernetes_effect
from chaos_locust.backends.kubernetes_look import Look
from chaos_locust.backends.kubernetes_preflight import kubernetes_problems
from chaos_locust.backends.kubernetes_victims import Found, find
from chaos_locust.backends.link_watch import LinkWatch
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.kubernetes import (
    KubernetesFault,
    NodeCordon,
    NodeDrain,
    PodCpu,
    PodEvict,
    PodKill,
    PodPartition,
    PodScale,
    PodSignal,
    RolloutImage,
    RolloutRestart,
)
from chaos_locust.plan.cluster import Cluster
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target

MARGIN_S = 15.0
"""The cluster's own timers end so long after the fault's time: for when everything of ours is dead."""

UNTIMED_S = 3600.0
"""So long our pod looks on where the plan does not say how long the load is."""

LONGEST_MARK = 63  # of a label's value
SCHEME = "kubernetes"


class KubernetesBackend:
    """An Undo: {backend, action: the kind or `probe`, cluster: kubeconfig and context, namespace, mark,
    target: as in the plan, victims: [{namespace, name, uid, container}], changes, made: [[kind, name]],
    probe: the Job that looks on, labels: LabelSelector of the pods, service: {name, loaded} or None}."""

    name = "kubernetes"

    def __init__(self, watch: LinkWatch) -> None:
        self._clusters: dict[str, Kubernetes] = {}
        self._looks: dict[str, Look] = {}
        self._lock = threading.Lock()

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        assert isinstance(fault, KubernetesFault)
        place = f"targets.{target.name}.kubernetes"
        if target.kubernetes is None:
            return [Problem(place, f"is missing; a {fault.kind} needs it")]
        try:
            cluster = self._cluster(_where(plan))
            return [Problem(place, text) for text in kubernetes_problems(cluster, plan, fault, target)]
        except BackendError as error:
            return [Problem(place, str(error))]

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        """The pod that looks on while a partition comes and goes."""
        cuts = [each for each in plan.faults if isinstance(each, PodPartition) and each.target == target.name]
        if not cuts:
            return None
        found = find(self._cluster(_where(plan)), plan, cuts[0], target)
        name = mark(run_id, target.name, "probe", longest=LONGEST_MARK)
        return {
            **self._undo(plan, found, name, "probe"),
            "image": cuts[0].image,
            "port": cuts[0].port,
            "lasts_s": (plan.duration_s or UNTIMED_S) + MARGIN_S,
            "addresses": found.addresses,
            "made": [["job", name]],
        }

    def build(self, undo: Undo, target: Target) -> None:
        keys = ("mark", "image", "addresses", "port", "lasts_s")
        body = made.probe(*(undo[key] for key in keys))
        self._of(undo).create(JOBS, undo["namespace"], body)

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        assert isinstance(fault, KubernetesFault)
        found = find(self._cluster(_where(plan)), plan, fault, target)
        name = mark(run_id, fault.name, longest=LONGEST_MARK)
        undo = self._undo(plan, found, name, fault.kind)
        match fault:
            case PodScale():
                undo["changes"] = [_of_workload("replicas", found, None, fault.replicas)]
            case RolloutImage():
                container = found.target.container
                undo["changes"] = [_of_workload("image", found, container, fault.image)]
            case PodCpu():
                container = found.target.container
                undo["changes"] = [
                    change("cpu", "pod", pod, container, lowered(pod, container, fault.cpus))
                    for pod in found.victims
                ]
            case NodeCordon():
                undo["changes"] = [change("unschedulable", "node", each, None, True) for each in found.nodes]
            case PodPartition():
                undo |= {"labels": found.labels, "made": [["networkpolicy", name], ["job", name]]}
                undo["probe"] = mark(run_id, target.name, "probe", longest=LONGEST_MARK)
        return undo

    def inject(self, fault: Fault, undo: Undo) -> None:
        cluster = self._of(undo)
        for one in undo["changes"]:
            make(cluster, one, undo["mark"])
        match fault:
            case PodKill():
                for pod in undo["victims"]:
                    cluster.delete(KINDS["pod"], pod["namespace"], pod["name"], pod["uid"], fault.grace_s)
            case PodEvict() | NodeDrain():
                _evict(cluster, undo["victims"], must=isinstance(fault, PodEvict))
            case PodSignal():
                for pod in undo["victims"]:
                    _signal(cluster, pod, fault.signal)
            case RolloutRestart():
                _restart(cluster, undo)
            case PodPartition():
                lasts_s = (fault.duration_s or 0.0) + MARGIN_S
                job = cluster.create(JOBS, undo["namespace"], made.end(undo["mark"], fault.image, lasts_s))
                cluster.create(POLICIES, undo["namespace"], made.policy(undo["mark"], undo["labels"], job))

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        raise BackendError(f"a {fault.kind} does not change with time")

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        with self._lock:
            look = self._looks.setdefault(undo["mark"], Look())
        try:
            return look.at(self._of(undo), undo)
        except BackendError as error:
            return Look.blind(undo, str(error))

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return kubernetes_effect(fault, before, during)

    def revert(self, undo: Undo) -> None:
        cluster = self._of(undo)
        for one in undo["changes"]:
            take_back(cluster, one)
        for kind, name in undo["made"]:
            cluster.delete(_MADE[kind], undo["namespace"], name)

    def verify(self, undo: Undo) -> bool:
        cluster = self._of(undo)
        if any(is_left(cluster, one) for one in undo["changes"]):
            return False
        return not any(_is_there(cluster, kind, undo["namespace"], name) for kind, name in undo["made"])

    def describe(self, undo: Undo) -> str:
        return f"the {undo['action']} of {undo['target']} ({undo['mark']})"

    def scan(self, place: str) -> list[Undo]:
        """place: kubernetes://CONTEXT, or kubernetes:// for the current one. Of all namespaces."""
        parts = urlsplit(place)
        if place and parts.scheme != SCHEME:
            return []
        where = {"context": parts.netloc} if parts.netloc else {}
        try:
            cluster = self._cluster(where)
            return [
                *(undo for kind in KINDS for undo in _changed(cluster, kind, where)),
                *(undo for kind in _MADE for undo in _made(cluster, kind, where)),
            ]
        except BackendError:
            if place:
                raise
            return []  # nobody need have a cluster

    def _undo(self, plan: Plan, found: Found, name: str, action: str) -> Undo:
        return {
            "backend": self.name,
            "action": action,
            "cluster": _where(plan),
            "mark": name,
            "target": str(found.target),
            "namespace": found.target.namespace,
            "selector": found.selector,
            "container": found.target.container,
            "victims": found.named(),
            "nodes": [node["metadata"]["name"] for node in found.nodes],
            "service": found.service,
            "may_exec": found.may_exec,
            "changes": [],
            "made": [],
        }

    def _of(self, undo: Undo) -> Kubernetes:
        return self._cluster(undo["cluster"])

    def _cluster(self, where: dict[str, str]) -> Kubernetes:
        key = json.dumps(where, sort_keys=True)
        with self._lock:
            if key not in self._clusters:
                self._clusters[key] = Kubernetes(Cluster(**where))
            return self._clusters[key]


_MADE = {"networkpolicy": POLICIES, "job": JOBS}


def _where(plan: Plan) -> dict[str, str]:
    """Which cluster: no credentials, for it stands in leases."""
    cluster = plan.kubernetes
    found = {"kubeconfig": cluster.kubeconfig, "context": cluster.context}
    return {key: value for key, value in found.items() if value is not None}


def _of_workload(what: str, found: Found, container: str | None, ours: Any) -> dict[str, Any]:
    assert found.target.workload is not None
    assert found.workload is not None
    return change(what, found.target.workload[0], found.workload, container, ours)


def _evict(cluster: Kubernetes, pods: Sequence[dict[str, Any]], must: bool) -> None:
    """must: not to have evicted a single one is a failure; of the rest the effect tells."""
    refusals = []
    for pod in pods:
        try:
            cluster.evict(pod["namespace"], pod["name"])
        except Refused as error:
            if error.status not in (404, 429):
                raise
            refusals.append(f"{pod['name']}: {error}")
    if must and refusals and len(refusals) == len(pods):
        raise BackendError(f"no pod may be evicted: {refusals[0]}")


def _signal(cluster: Kubernetes, pod: dict[str, Any], signal: str) -> None:
    """The container may be gone before its shell could say that all went well."""
    code, text = cluster.run(
        pod["namespace"], pod["name"], pod["container"], ["sh", "-c", f"kill -{signal} 1"]
    )
    if code not in (0, None, 137, 143):
        where = f"{pod['namespace']}/{pod['name']}"
        raise BackendError(f"kill in {where} ended with {code}: {text.strip()[:200]}")


def _restart(cluster: Kubernetes, undo: Undo) -> None:
    kind, _, name = undo["target"].partition(" ")
    name = name.partition(" ")[0]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}
    cluster.patch(WORKLOADS[kind], undo["namespace"], name, {"spec": {"template": about}})


def _is_there(cluster: Kubernetes, kind: str, namespace: str, name: str) -> bool:
    try:
        found = cluster.get(_MADE[kind], namespace, name)
    except Refused as error:
        if error.status == 404:
            return False
        raise
    return "deletionTimestamp" not in found["metadata"]


def _changed(cluster: Kubernetes, kind: str, where: dict[str, str]) -> list[Undo]:
    found = []
    for each in cluster.all_of(KINDS[kind], selector=MARK):
        about, one = each["metadata"], noted(each)
        if one is not None and one["uid"] == about["uid"]:
            found.append(_scanned(about, f"{kind} {about['name']}", where) | {"changes": [one]})
    return found


def _made(cluster: Kubernetes, kind: str, where: dict[str, str]) -> list[Undo]:
    """Pods of a Job go with it."""
    return [
        _scanned(each["metadata"], f"{kind} {each['metadata']['name']}", where)
        | {"made": [[kind, each["metadata"]["name"]]]}
        for each in cluster.all_of(_MADE[kind], selector=MARK)
        if "deletionTimestamp" not in each["metadata"]
    ]


def _scanned(about: dict[str, Any], what: str, where: dict[str, str]) -> Undo:
    return {
        "backend": KubernetesBackend.name,
        "action": "fault",
        "cluster": where,
        "mark": about["labels"][MARK],
        "target": what if about.get("namespace") is None else f"{what} in {about['namespace']}",
        "namespace": about.get("namespace"),
        "changes": [],
        "made": [],
    }
