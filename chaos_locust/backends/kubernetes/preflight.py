"""Why a fault could not be injected into a cluster now. Changes nothing: what it would do is asked for as a
dry run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaos_locust.backends.kubernetes import made
from chaos_locust.backends.kubernetes.api import AUTOSCALERS, JOBS, PODS, POLICIES, Kubernetes, Refused
from chaos_locust.backends.kubernetes.change import changes_of, make
from chaos_locust.backends.kubernetes.config import config_change_of, unfit
from chaos_locust.backends.kubernetes.inside import pressure_of
from chaos_locust.backends.kubernetes.reading import cpus, is_ready, scales
from chaos_locust.backends.kubernetes.rights import (
    Right,
    missing_rights,
    rights_of,
    rights_of_plan,
    rights_to_read,
    role,
)
from chaos_locust.backends.kubernetes.victims import Found, find
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
    RolloutUnready,
)
from chaos_locust.faults.kubernetes_config import ConfigChange
from chaos_locust.faults.kubernetes_inside import Inside
from chaos_locust.plan.cluster import KubernetesTarget
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.plan.probes import OF_AUTOSCALERS, probes_of

DRY = "chaos-dry-run"


def kubernetes_problems(
    cluster: Kubernetes, plan: Plan, fault: KubernetesFault, target: Target
) -> list[Problem]:
    """Raises BackendError where even that cannot be told."""
    place, wanted = f"targets.{target.name}.kubernetes", target.kubernetes
    assert wanted is not None
    if problem := _wrong_part(fault, wanted):
        return [Problem(place, problem)]
    needed = rights_of(fault, wanted)
    if problems := right_problems(cluster, plan, fault.kind, needed, target):
        return problems
    found = find(cluster, plan, fault, target)
    return [Problem(place, text) for text in _unfit(cluster, fault, found)]


def reading_problems(plan: Plan) -> list[Problem]:
    """Of the targets that are watched while the run goes on."""
    problems = []
    for name, probes in probes_of(plan).items():
        target = plan.targets[name]
        assert target.kubernetes is not None
        needed = rights_to_read(target.kubernetes, probes)
        try:
            cluster = Kubernetes(plan.kubernetes)
            found = right_problems(cluster, plan, f"reading {probes[0]}", needed, target)
            problems += found or _unscaled(cluster, target, probes)
        except BackendError as error:
            problems.append(Problem(f"targets.{name}.kubernetes", str(error)))
    return problems


def _unscaled(cluster: Kubernetes, target: Target, probes: Sequence[str]) -> list[Problem]:
    asked = [name for name in probes if name in OF_AUTOSCALERS]
    wanted = target.kubernetes
    if not asked or wanted is None or wanted.workload is None:
        return []
    if any(scales(each, wanted.workload) for each in cluster.all_of(AUTOSCALERS, wanted.namespace)):
        return []
    text = f"{asked[0]} needs an autoscaler of {wanted}, and there is none"
    return [Problem(f"targets.{target.name}.kubernetes", text)]


def right_problems(
    cluster: Kubernetes, plan: Plan, who: str, needed: Sequence[Right], target: Target
) -> list[Problem]:
    """What is not allowed, and the Role by which all would be that the plan does there, which is the same
    whichever of its faults asks. Raises BackendError."""
    wanted = target.kubernetes
    assert wanted is not None
    missing = missing_rights(cluster, needed, wanted)
    if not missing:
        return []
    words = ", ".join(" ".join((verb, f"{resource}.{group}".strip("."))) for verb, group, resource in missing)
    where = "the cluster" if wanted.is_nodes else f"the namespace {wanted.namespace}"
    rules = role(rights_of_plan(plan, wanted), None if wanted.is_nodes else wanted.namespace)
    return [
        Problem(f"targets.{target.name}.kubernetes", f"{who} may not {words} in {where}"),
        Problem("", f"all that this plan does in {where} is allowed by this, bound to its user:\n{rules}"),
    ]


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
            elif fault.count != "all" and len(found.victims) == (ready := sum(map(is_ready, found.pods))):
                have = f"{found.target} has {ready} ready pod{'' if ready == 1 else 's'}"
                yield f"{have}, and {fault.kind} would leave none; count: all allows it"
            else:
                yield from _dry_victims(cluster, fault, found)
        case PodScale():
            yield from _dry_scale(cluster, fault, found)
        case RolloutImage() | RolloutUnready():
            for one in changes_of(fault, found, DRY):
                make(cluster, one, dry=True)
        case PodCpu():
            if not found.victims:
                yield f"no pod of {found.target} is ready"
            for one in changes_of(fault, found, DRY):
                limit = one["before"]["limits"]
                if cpus(limit) <= fault.cpus:
                    yield f"{one['name']} is limited to {limit} CPU; {fault.cpus:g} is no less"
                else:
                    make(cluster, one, dry=True)
        case ConfigChange():
            yield from unfit(cluster, config_change_of(cluster, fault, found, DRY))
        case Inside():
            if not found.victims:
                yield f"no pod of {found.target} is ready"
            for one in pressure_of(cluster, fault, found.named(), DRY):
                make(cluster, one, dry=True)
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
            for one in changes_of(fault, found, DRY):
                make(cluster, one, dry=True)


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
                    cluster.evict(pod["namespace"], pod["name"], pod["uid"], dry=True)
                except Refused as error:
                    if error.status != 429:  # another pod may go by then
                        raise


def _dry_scale(cluster: Kubernetes, fault: PodScale, found: Found) -> Iterator[str]:
    assert found.target.workload is not None
    assert found.workload is not None
    kind, name = found.target.workload
    (one,) = changes_of(fault, found, DRY)
    if one["before"] == fault.replicas:
        yield f"{kind} {name} has {fault.replicas} replicas already"
    for scaler in cluster.all_of(AUTOSCALERS, found.target.namespace):
        if scales(scaler, (kind, name)):
            by = scaler["metadata"]["name"]
            yield f"{kind} {name} is scaled by the autoscaler {by}, which would undo it"
            return
    make(cluster, one, dry=True)
