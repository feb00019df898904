"""Faults in a Kubernetes cluster, done through its API alone. Needs the package kubernetes."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from hashlib import sha256

from chaos_locust.backends.base import MARK, Effect, Reading, Undo
from chaos_locust.backends.kubernetes import acts, made
from chaos_locust.backends.kubernetes.api import JOBS, POLICIES, Kubernetes
from chaos_locust.backends.kubernetes.change import changes_of, is_left, make, take_back
from chaos_locust.backends.kubernetes.config import config_change_of
from chaos_locust.backends.kubernetes.effect import kubernetes_effect
from chaos_locust.backends.kubernetes.inside import pressure_of
from chaos_locust.backends.kubernetes.look import Look
from chaos_locust.backends.kubernetes.marks import MARK as LABEL
from chaos_locust.backends.kubernetes.marks import get_or_none
from chaos_locust.backends.kubernetes.preflight import kubernetes_problems
from chaos_locust.backends.kubernetes.reach import NoCluster
from chaos_locust.backends.kubernetes.scan import MADE, SCHEME, marked, read_place
from chaos_locust.backends.kubernetes.victims import Found, find
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.kubernetes import (
    KubernetesFault,
    NodeDrain,
    PodEvict,
    PodKill,
    PodPartition,
    PodSignal,
    RolloutRestart,
)
from chaos_locust.faults.kubernetes_config import ConfigChange
from chaos_locust.faults.kubernetes_inside import Inside
from chaos_locust.plan.cluster import Cluster
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target

MARGIN_S = 15.0
"""The cluster's own timers end so long after the fault's time: for when everything of ours is dead."""

UNTIMED_S = 3600.0
"""So long our pod looks on where the plan does not say how long the load is."""

LONGEST_MARK = 63  # of a label's value


class KubernetesBackend:
    """An Undo: {backend, action: the kind or `probe`, cluster: kubeconfig, context and server, namespace,
    mark, target: as in the plan, victims: [{namespace, name, uid, container}], changes, made: [[kind, name]],
    probe: the Job that looks on, labels: LabelSelector of the pods, service: {name, loaded} or None,
    lost, only of what was found by its mark: [[kind, name]] of which nobody knows what was before}."""

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
            cluster = self._cluster(where_of(plan))
            return kubernetes_problems(cluster, plan, fault, target)
        except BackendError as error:
            return [Problem(place, str(error))]

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        """The pod that looks on while a partition comes and goes."""
        cuts = [each for each in plan.faults if isinstance(each, PodPartition) and each.target == target.name]
        if not cuts:
            return None
        cluster = self._cluster(where_of(plan))
        found = find(cluster, plan, cuts[0], target)
        name = named(run_id, target.name, "probe")
        return {
            **self._undo(cluster, found, name, "probe"),
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
        cluster = self._cluster(where_of(plan))
        found = find(cluster, plan, fault, target)
        name = named(run_id, fault.name)
        undo = self._undo(cluster, found, name, fault.kind)
        undo["changes"] = changes_of(fault, found, name)
        match fault:
            case Inside():
                undo["changes"] = pressure_of(cluster, fault, undo["victims"], name)
            case ConfigChange():
                undo["changes"] = [config_change_of(cluster, fault, found, name)]
                undo["mounted_at"] = fault.mounted_at
            case RolloutRestart():
                undo["workload"] = found.target.workload
            case PodPartition():
                undo |= {"labels": found.labels, "made": [["networkpolicy", name], ["job", name]]}
                undo["probe"] = named(run_id, target.name, "probe")
        return undo

    def inject(self, fault: Fault, undo: Undo) -> None:
        cluster = self._of(undo)
        for one in undo["changes"]:
            make(cluster, one, lasts_s=(fault.duration_s or 0.0) + MARGIN_S)
        match fault:
            case PodKill():
                acts.kill(cluster, undo["victims"], fault.grace_s)
            case PodEvict() | NodeDrain():
                acts.evict(cluster, undo["victims"], must=isinstance(fault, PodEvict))
            case PodSignal():
                self._look(undo).expect(fault)
                acts.send(cluster, undo["victims"], fault.signal)
            case RolloutRestart():
                self._look(undo).expect(fault)
                acts.restart(cluster, undo["namespace"], undo["workload"])
            case PodPartition():
                lasts_s = (fault.duration_s or 0.0) + MARGIN_S
                job = cluster.create(JOBS, undo["namespace"], made.end(undo["mark"], fault.image, lasts_s))
                cluster.create(POLICIES, undo["namespace"], made.policy(undo["mark"], undo["labels"], job))

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        raise BackendError(f"a {fault.kind} does not change with time")

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        try:
            return self._look(undo).at(self._of(undo), undo)
        except BackendError as error:
            return Look.blind(undo, str(error))

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return kubernetes_effect(fault, before, during)

    def revert(self, undo: Undo) -> None:
        cluster = self._of(undo)
        if lost := undo.get("lost"):
            what = " and ".join(" ".join(each) for each in lost)
            raise BackendError(
                f"{what} has our label {LABEL}, and nothing that tells what was before; put it right by"
                " hand and take the label off"
            )
        for one in undo["changes"]:
            take_back(cluster, one)
        for kind, name in undo["made"]:
            cluster.delete(MADE[kind], undo["namespace"], name)

    def verify(self, undo: Undo) -> bool:
        cluster = self._of(undo)
        if undo.get("lost") or any(is_left(cluster, one) for one in undo["changes"]):
            return False
        return not any(_is_there(cluster, kind, undo["namespace"], name) for kind, name in undo["made"])

    def describe(self, undo: Undo) -> str:
        return f"the {undo['action']} of {undo['target']} ({undo['mark']})"

    def scan(self, place: str) -> list[Undo]:
        """place: kubernetes://CONTEXT, or kubernetes:// for the current one; of all namespaces, or with
        ?namespace=NAME of one."""
        if place and not place.startswith(SCHEME):
            return []
        context, namespace = read_place(place)
        try:
            cluster = self._cluster({} if context is None else {"context": context})
        except BackendError as error:
            if place or not isinstance(error, NoCluster):
                raise
            return []  # nobody need have a cluster
        return self._marked(cluster, namespace)

    def _marked(self, cluster: Kubernetes, namespace: str | None) -> list[Undo]:
        return marked(cluster, namespace, self.name)

    def _undo(self, cluster: Kubernetes, found: Found, name: str, action: str) -> Undo:
        return {
            "backend": self.name,
            "action": action,
            "cluster": {**cluster.place, "server": cluster.where},
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
        """Raises BackendError where the context leads elsewhere by now: nothing of it is there."""
        where = dict(undo["cluster"])
        server = where.pop("server")
        cluster = self._cluster(where)
        if cluster.where != server:
            raise BackendError(f"this leads to the cluster at {cluster.where}, and the fault is at {server}")
        return cluster

    def _look(self, undo: Undo) -> Look:
        with self._lock:
            return self._looks.setdefault(undo["mark"], Look())

    def _cluster(self, where: dict[str, str]) -> Kubernetes:
        key = json.dumps(where, sort_keys=True)
        with self._lock:
            if key not in self._clusters:
                self._clusters[key] = Kubernetes(Cluster(**where))
            return self._clusters[key]


def where_of(plan: Plan) -> dict[str, str]:
    """Which cluster: no credentials, for it stands in leases."""
    cluster = plan.kubernetes
    found = {"kubeconfig": cluster.kubeconfig, "context": cluster.context}
    return {key: value for key, value in found.items() if value is not None}


def named(run_id: str, *parts: str) -> str:
    """As a label's value and an object's name may be; always so that it is known to be of this run."""
    name = "-".join((run_id, *parts))
    if len(MARK + name) > LONGEST_MARK or not name[-1].isalnum():
        name = f"{run_id}-{sha256(name.encode()).hexdigest()[:12]}"
    return MARK + name


def _is_there(cluster: Kubernetes, kind: str, namespace: str, name: str) -> bool:
    found = get_or_none(cluster, MADE[kind], namespace, name)
    return found is not None and "deletionTimestamp" not in found["metadata"]
