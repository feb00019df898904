"""Faults on pods, workloads and nodes of a Kubernetes cluster, done through its API alone."""

from __future__ import annotations

import math
import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from chaos_locust.data import Seconds
from chaos_locust.faults.base import Fault
from chaos_locust.units import format_duration, parse_share

LONGEST_GRACE_S = 300.0
LEAST_CPUS = 0.01


def _many(value: object) -> str:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"[1-9]\d*", value):
        return value
    if isinstance(value, str) and value.endswith("%") and 0 < parse_share(value) <= 1:
        return value.replace(" ", "")
    raise ValueError(f"'{value}' is not allowed; give a number such as 2, a share such as 50%, or all")


Many = Annotated[
    str,
    BeforeValidator(_many),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "%$|^all$"}]}),
]
"""How many of a set: `2`, `50%` (rounded up), `all`."""


def how_many(many: str, of: int) -> int:
    """Raises ValueError where there are not so many."""
    if many == "all":
        return of
    if many.endswith("%"):
        return math.ceil(parse_share(many) * of - 1e-9)
    if int(many) > of:
        raise ValueError(f"{many} are asked for, and there are {of}")
    return int(many)


def _whole(value_s: float) -> float:
    if value_s % 1 or value_s > LONGEST_GRACE_S:
        text = format_duration(value_s)
        raise ValueError(f"'{text}' is not allowed; give whole seconds, up to {LONGEST_GRACE_S:g}s")
    return value_s


Grace = Annotated[Seconds, AfterValidator(_whole)]


class KubernetesFault(Fault):
    """Base. touches: the part of the cluster that the target has to be. rights: the verbs that it needs, as
    (verb, API group, resource), besides seeing what it acts on."""

    family: ClassVar[str] = "kubernetes"
    needs: ClassVar[tuple[str, ...]] = ("kubernetes",)
    undo: ClassVar[str] = (
        "by the guardian, by `cleanup`, or by `cleanup --scan` from an annotation that says what was before"
    )
    touches: ClassVar[Literal["pods", "workload", "nodes"]] = "pods"
    rights: ClassVar[tuple[tuple[str, str, str], ...]]

    def clashes_with(self, other: Fault) -> str:
        both_last = not (self.instant or other.instant)
        if isinstance(other, KubernetesFault) and both_last and self.touches == other.touches != "pods":
            return f"both change the same {self.touches}"
        return super().clashes_with(other)


class PodKill(KubernetesFault):
    """Pods are deleted, drawn by the plan's seed from those that are ready. What owns them makes others."""

    kind: ClassVar[str] = "pod_kill"
    summary: ClassVar[str] = "deletes pods; their workload makes new ones"
    instant: ClassVar[bool] = True
    undo: ClassVar[str] = "nothing to undo: the workload makes new pods"
    effect_text: ClassVar[str] = "the pods are gone, and the load reached them just before"
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = (("delete", "", "pods"),)

    count: Many = Field(default="1", description="2, 50% (rounded up) or all")
    grace_s: Grace = Field(
        default=0.0, alias="grace", description="between TERM and KILL; 0s, as if the node had lost them"
    )


class PodEvict(KubernetesFault):
    """Pods are evicted as by a drain: what a disruption budget does not allow is not done, and said."""

    kind: ClassVar[str] = "pod_evict"
    summary: ClassVar[str] = "evicts pods, as far as disruption budgets allow it"
    instant: ClassVar[bool] = True
    undo: ClassVar[str] = "nothing to undo: the workload makes new pods"
    effect_text: ClassVar[str] = "the pods are gone, and the load reached them just before"
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = (("create", "", "pods/eviction"),)

    count: Many = Field(default="1", description="2, 50% (rounded up) or all")


class PodSignal(KubernetesFault):
    """A signal to the first process of a container, by `kill` in the container itself. The kernel passes no
    signal on that this process does not handle (KILL never): a process that ignores TERM goes on, and the
    effect is not seen."""

    kind: ClassVar[str] = "pod_signal"
    summary: ClassVar[str] = "ends a container of pods by a signal; its pod starts it again"
    instant: ClassVar[bool] = True
    undo: ClassVar[str] = "nothing to undo: the pod starts its container again"
    effect_text: ClassVar[str] = "the container was started again, and the load reached it just before"
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("get", "", "pods/exec"),
        ("create", "", "pods/exec"),
    )

    count: Many = Field(default="1", description="2, 50% (rounded up) or all")
    signal: Literal["TERM", "INT", "QUIT", "HUP", "ABRT"] = "TERM"


class PodScale(KubernetesFault):
    """The workload gets `replicas`, and what it had afterwards. Not beside an autoscaler of that workload."""

    kind: ClassVar[str] = "pod_scale"
    summary: ClassVar[str] = "scales the workload, and back"
    effect_text: ClassVar[str] = "so many pods are ready, and the load reached them"
    touches: ClassVar[Literal["pods", "workload", "nodes"]] = "workload"
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = (("patch", "apps", "{workload}s"),)

    replicas: int = Field(ge=0, le=1000)


class RolloutRestart(KubernetesFault):
    """All pods are replaced as by `kubectl rollout restart`."""

    kind: ClassVar[str] = "rollout_restart"
    summary: ClassVar[str] = "replaces all pods of the workload, as its strategy has it"
    instant: ClassVar[bool] = True
    undo: ClassVar[str] = "nothing to undo: the rollout goes on to its end"
    effect_text: ClassVar[str] = "pods were replaced, and the load reached them just before"
    touches: ClassVar[Literal["pods", "workload", "nodes"]] = "workload"
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = (("patch", "apps", "{workload}s"),)


class RolloutImage(KubernetesFault):
    """A rollout of an image that cannot be pulled, and afterwards one of the image that was there."""

    kind: ClassVar[str] = "rollout_image"
    summary: ClassVar[str] = "rolls out an image that cannot be pulled, and back"
    effect_text: ClassVar[str] = "a pod waits for its image, and the load reached the workload"
    touches: ClassVar[Literal["pods", "workload", "nodes"]] = "workload"
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = (("patch", "apps", "{workload}s"),)

    image: str = Field(default="chaos-locust.invalid/no-such-image:1", min_length=1, max_length=500)


class RolloutUnready(KubernetesFault):
    """A rollout whose pods run and never become ready, by a readiness probe that always fails, and afterwards
    one with the probe that was there. A pod that runs already cannot be made unready over the API: its
    node's kubelet alone says so, and keeps to what its probe finds."""

    kind: ClassVar[str] = "rollout_unready"
    summary: ClassVar[str] = "rolls out pods that never become ready, and back"
    effect_text: ClassVar[str] = "a new pod runs and stays unready, and the load reached the workload"
    touches: ClassVar[Literal["pods", "workload", "nodes"]] = "workload"
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = (("patch", "apps", "{workload}s"),)


class PodCpu(KubernetesFault):
    """The container's CPU limit is lowered in place (Kubernetes 1.33 and later), without a restart. It must
    have one, for Kubernetes takes no limit from a running pod."""

    kind: ClassVar[str] = "pod_cpu"
    summary: ClassVar[str] = "lowers the CPU limit of running containers, and puts it back"
    effect_text: ClassVar[str] = "the kubelet tells that the limit is in force, and the load reaches the pods"
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = (("patch", "", "pods/resize"),)

    count: Many = Field(default="1", description="2, 50% (rounded up) or all")
    cpus: float = Field(ge=LEAST_CPUS, lt=1000, description="of one CPU's time, such as 0.2")


class PodPartition(KubernetesFault):
    """A NetworkPolicy by which nothing reaches the pods, and nothing leaves them. What another policy allows
    is still allowed, for policies only add, and where nothing enforces policies it does nothing: both are
    seen by a pod of ours that connects to them all the time."""

    kind: ClassVar[str] = "pod_partition"
    summary: ClassVar[str] = "cuts pods off the network by a NetworkPolicy"
    effect_text: ClassVar[str] = "a pod of ours cannot connect to them any more, and the load reached them"
    undo: ClassVar[str] = "by the guardian or `cleanup`; the cluster removes it with a Job of ours that ends"
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("create", "networking.k8s.io", "networkpolicies"),
        ("delete", "networking.k8s.io", "networkpolicies"),
        ("get", "networking.k8s.io", "networkpolicies"),
        ("create", "batch", "jobs"),
        ("delete", "batch", "jobs"),
        ("get", "batch", "jobs"),
        ("get", "", "pods/log"),
    )

    port: int = Field(ge=1, le=65535, description="of the pods, which the pod of ours connects to")
    image: str = Field(default="busybox:stable", min_length=1, description="of our pod, with nc and sh")


class NodeCordon(KubernetesFault):
    """No new pods come to the nodes."""

    kind: ClassVar[str] = "node_cordon"
    summary: ClassVar[str] = "lets no new pods come to nodes"
    effect_text: ClassVar[str] = "the nodes are unschedulable, and pods that the load reaches run on them"
    touches: ClassVar[Literal["pods", "workload", "nodes"]] = "nodes"
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = (("patch", "", "nodes"),)

    count: Many = Field(default="1", description="2, 50% (rounded up) or all")


class NodeDrain(NodeCordon):
    """Cordons nodes and evicts their pods, but those of daemon sets and of the node itself. Refused where one
    of them is in a namespace that is not allowed, as those of Kubernetes never are."""

    kind: ClassVar[str] = "node_drain"
    summary: ClassVar[str] = "drains nodes, and lets pods come again afterwards"
    effect_text: ClassVar[str] = "the nodes are unschedulable, and the pods that could be evicted are gone"
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("patch", "", "nodes"),
        ("create", "", "pods/eviction"),
    )

    most_pods: int = Field(default=50, ge=1, description="no more than so many are evicted")


FAULTS: tuple[type[Fault], ...] = (
    PodKill,
    PodEvict,
    PodSignal,
    PodScale,
    RolloutRestart,
    RolloutImage,
    RolloutUnready,
    PodCpu,
    PodPartition,
    NodeCordon,
    NodeDrain,
)
