"""Why a fault could not be injected into a cluster now. Changes nothing: what it would do is asked for as a
dry run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaos_locust.backends import kubernetes_made as made
from chaos_locust.backends.kubernetes_api import AUTOSCALERS, JOBS, PODS, POLICIES, Kubernetes, Refused
from chaos_locust.backends.kubernetes_change import change, lowered, make
from chaos_locust.backends.kubernetes_reading import cpus
from chaos_locust.backends.kubernetes_rights import Right, missing_rights, rights_of, rights_to_read, role
from chaos_locust.backends.kubernetes_victims import Found, find
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.kubernetes import (
    KubernetesFault,
    NodeCordon,
    PodCpu,
    PodEvict,
    PodKill,
    PodPartition,
    PodScale,
    PodSignal,
    RolloutImage,
)
from chaos_locust.plan.cluster import KubernetesTarget
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.plan.probes import probes_of

DRY = "chaos-dry-run"


def kubernetes_problems(cluster: Kubernetes, plan: Plan, fault: KubernetesFault, target: Target) -> list[str]:
    """Raises BackendError where even that cannot be told."""
    wanted = target.kubernetes
    assert wanted is not None
    if problem := _wrong_part(fault, wanted):
        return [problem]
    if problem := right_problem(cluster, fault.kind, rights_of(fault, wanted), wanted):
        return [problem]
    return list(_unfit(cluster, fault, find(cluster, plan, fault, target)))


def reading_problems(plan: Plan) -> list[Problem]:
    """Of the targets that are watched while the run goes on."""
    problems = []
    for name, probes in probes_of(plan).items():
        place, wanted = f"targets.{name}.kubernetes", plan.targets[name].kubernetes
        assert wanted is not None
        try:
            cluster = Kubernetes(plan.kubernetes)
            text = right_problem(cluster, f"reading {probes[0]}", rights_to_read(wanted), wanted)
        except BackendError as error:
            text = str(error)
        problems += [Problem(place, text)] if text else []
    return problems


def right_problem(cluster: Kubernetes, who: str, needed: Sequence[Right], wanted: KubernetesTarget) -> str:
    """What is not allowed, and the Role that would allow it; empty: all is. Raises BackendError."""
    missing = missing_rights(cluster, needed, wanted)
    if not missing:
        return ""
    words = ", ".join(" ".join((verb, f"{resource}.{group}".strip("."))) for verb, group, resource in missing)
    where = "the cluster" if wanted.is_nodes else f"the namespace {wanted.namespace}"
    rules = role(missing, None if wanted.is_nodes else wanted.namespace)
    return f"{who} may not {words} in {where}; this would allow it, bound to its user:\n{rules}"


def _wrong_part(fault: KubernetesFault, wanted: KubernetesTarget) -> str:
    if fault.touches == "nodes" and not wanted.is_nodes:
        return f"{fault.kind} needs a node or nodes, not {wanted}"
    if fault.touches != "nodes" and wanted.is_nodes:
        return f"{fault.kind} needs pods, not {wanted}"
    if fault.touches == "workload" and wanted.workload is None:
        return f"{fault.kind} needs a deployment or a statefulset, not {wanted}"
    return ""


def _unfit(cluster: Kubernetes, fault: KubernetesFault, found: Found) -> Iterator[str]:
    namespace = found.target.namespace
    match fault:
        case PodKill() | PodEvict() | PodSignal():
            if not found.victims:
                yield f"no pod of {found.target} is ready"
            elif fault.count != "all" and len(found.victims) == len(found.pods):
                have = f"{found.target} has {len(found.pods)} pods"
                yield f"{have}, and {fault.kind} would leave none; count: all allows it"
            else:
                yield from _dry_victims(cluster, fault, found)
        case PodScale():
            yield from _dry_scale(cluster, fault, found)
        case RolloutImage():
            assert found.target.workload is not None
            assert found.workload is not None
            kind, container = found.target.workload[0], found.target.container
            make(cluster, change("image", kind, found.workload, container, fault.image), DRY, dry=True)
        case PodCpu():
            for pod in found.victims:
                container = found.target.container
                one = change("cpu", "pod", pod, container, lowered(pod, container, fault.cpus))
                limit = one["before"]["limits"]
                if limit is not None and cpus(limit) <= fault.cpus:
                    yield f"{pod['metadata']['name']} is limited to {limit} CPU; {fault.cpus:g} is no less"
                else:
                    make(cluster, one, DRY, dry=True)
        case PodPartition():
            if not found.labels:
                yield f"a policy cannot select by {found.selector}; give a deployment, or labels with ="
                return
            job = cluster.create(JOBS, namespace, made.end(DRY, fault.image, 1), dry=True)
            policy = made.policy(DRY, found.labels, job)
            cluster.create(POLICIES, namespace, policy, dry=True)
        case NodeCordon():
            if not found.nodes:
                yield f"no {found.target} is ready"
            for node in found.nodes:
                make(cluster, change("unschedulable", "node", node, None, True), DRY, dry=True)


def _dry_victims(cluster: Kubernetes, fault: KubernetesFault, found: Found) -> Iterator[str]:
    for pod in found.named():
        match fault:
            case PodKill():
                cluster.delete(PODS, pod["namespace"], pod["name"], pod["uid"], fault.grace_s, dry=True)
            case PodSignal():
                where = pod["namespace"], pod["name"], pod["container"]
                code, text = cluster.run(*where, ["sh", "-c", "kill -0 1"])
                if code != 0:
                    yield f"{'/'.join(where)} has no sh and kill: {text.strip()[:120]}"
            case _:
                try:
                    cluster.evict(pod["namespace"], pod["name"], dry=True)
                except Refused as error:
                    if error.status != 429:  # another pod may go by then
                        raise


def _dry_scale(cluster: Kubernetes, fault: PodScale, found: Found) -> Iterator[str]:
    assert found.target.workload is not None
    assert found.workload is not None
    kind, name = found.target.workload
    one = change("replicas", kind, found.workload, None, fault.replicas)
    if one["before"] == fault.replicas:
        yield f"{kind} {name} has {fault.replicas} replicas already"
    for scaler in cluster.all_of(AUTOSCALERS, found.target.namespace):
        scaled = scaler["spec"]["scaleTargetRef"]
        if (scaled["kind"].lower(), scaled["name"]) == (kind, name):
            by = scaler["metadata"]["name"]
            yield f"{kind} {name} is scaled by the autoscaler {by}, which would undo it"
            return
    make(cluster, one, DRY, dry=True)
