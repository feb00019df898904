"""What a fault has to be allowed to do in a cluster, and the Role that would allow what is missing."""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from chaos_locust.backends.chaos_mesh.rights import mesh_rights_of_plan
from chaos_locust.backends.kubernetes.api import Kubernetes
from chaos_locust.faults.kubernetes import (
    KubernetesFault,
    NodeDrain,
    PodCpu,
    PodScale,
    RolloutImage,
    RolloutUnready,
)
from chaos_locust.faults.kubernetes_config import ConfigChange
from chaos_locust.plan.cluster import KubernetesTarget
from chaos_locust.plan.model import Plan
from chaos_locust.plan.probes import OF_AUTOSCALERS, probes_of

Right = tuple[str, str, str]
"""(verb, API group, resource)"""


def rights_of(fault: KubernetesFault, target: KubernetesTarget) -> list[Right]:
    kind, _ = target.workload or ("deployment", "")
    needed = [(verb, group, resource.format(workload=kind)) for verb, group, resource in fault.rights]
    if target.is_nodes:
        needed += [("get", "", "nodes"), ("list", "", "nodes")]
    if not target.is_nodes or isinstance(fault, NodeDrain):
        needed.append(("list", "", "pods"))
    if target.workload:
        needed.append(("get", "apps", f"{kind}s"))
    if target.service:
        needed += [("get", "", "services"), ("list", "discovery.k8s.io", "endpointslices")]
    if isinstance(fault, PodScale):
        needed.append(("list", "autoscaling", "horizontalpodautoscalers"))
    if isinstance(fault, RolloutImage | RolloutUnready) and kind == "statefulset":
        needed.append(("delete", "", "pods"))
    if isinstance(fault, PodCpu):
        needed += [("get", "", "pods"), ("patch", "", "pods")]
    if isinstance(fault, ConfigChange):
        needed += _to_configure(fault, kind)
    return sorted(set(needed))


def _to_configure(fault: ConfigChange, workload: str) -> list[Right]:
    """What the kind of object, the rollout and the look at a file need."""
    verbs = ("get", "patch", "create", "delete")
    needed = [(verb, "", f"{fault.place[0]}s") for verb in verbs]
    if fault.restart:
        needed.append(("patch", "apps", f"{workload}s"))
    if fault.mounted_at is not None:
        needed += [(verb, "", "pods/exec") for verb in ("get", "create")]
    return needed


def rights_to_read(target: KubernetesTarget, probes: Iterable[str]) -> list[Right]:
    """What watching a target's pods and workload needs, and its autoscaler where a probe asks that."""
    kinds = [("", "pods"), *([("apps", f"{target.workload[0]}s")] if target.workload else [])]
    if any(name in OF_AUTOSCALERS for name in probes):
        kinds.append(("autoscaling", "horizontalpodautoscalers"))
    return [(verb, group, resource) for group, resource in kinds for verb in ("get", "list", "watch")]


def rights_of_plan(plan: Plan, where: KubernetesTarget) -> list[Right]:
    """All that it needs in the namespace of a target, or of nodes."""

    def is_there(name: str) -> KubernetesTarget | None:
        found = plan.targets[name].kubernetes
        if found is None or found.is_nodes != where.is_nodes:
            return None
        return found if where.is_nodes or found.namespace == where.namespace else None

    needed = set[Right]()
    for fault in plan.faults:
        if isinstance(fault, KubernetesFault) and (target := is_there(fault.target)):
            needed.update(rights_of(fault, target))
    for name, probes in probes_of(plan).items():
        if target := is_there(name):
            needed.update(rights_to_read(target, probes))
    if where.namespace is not None:
        needed.update(mesh_rights_of_plan(plan, where.namespace))
    return sorted(needed)


def missing_rights(cluster: Kubernetes, needed: Iterable[Right], target: KubernetesTarget) -> list[Right]:
    """Those of nodes are asked for everywhere, for nodes are in no namespace. Raises BackendError."""
    namespace = None if target.is_nodes else target.namespace
    return [right for right in needed if not cluster.may(*right, namespace=namespace)]


def role(rights: Iterable[Right], namespace: str | None) -> str:
    """The YAML of a Role; of a ClusterRole where there is no namespace."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for verb, group, resource in rights:
        verbs.setdefault((group, resource), []).append(verb)
    about = {"name": "chaos-locust"} | ({} if namespace is None else {"namespace": namespace})
    rules = [
        {"apiGroups": [group], "resources": [resource], "verbs": sorted(found)}
        for (group, resource), found in sorted(verbs.items())
    ]
    kind = "ClusterRole" if namespace is None else "Role"
    data = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": about, "rules": rules}
    return yaml.safe_dump(data, sort_keys=False)
