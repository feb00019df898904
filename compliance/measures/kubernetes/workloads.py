"""What runs in a namespace of a cluster: pods as they were admitted, and what would make pods but has none
at the moment, such as a CronJob."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from compliance.measures.base import Unsupported
from compliance.measures.kubernetes.api import Cluster, readable

TEMPLATES = {
    "Deployment": ("apps/v1", "deployments"),
    "ReplicaSet": ("apps/v1", "replicasets"),
    "StatefulSet": ("apps/v1", "statefulsets"),
    "DaemonSet": ("apps/v1", "daemonsets"),
    "Job": ("batch/v1", "jobs"),
    "CronJob": ("batch/v1", "cronjobs"),
}


@dataclass(frozen=True, slots=True)
class Workload:
    """name: `Deployment/shop`. spec: of a pod. is_running: else it is a template, and what admission will
    add to the pod is not in it."""

    name: str
    spec: Mapping[str, Any]
    is_running: bool

    def containers(self, *, ephemeral: bool = True) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What each is called in a report, and what it is to be."""
        kinds = ["initContainers", "containers", *(["ephemeralContainers"] if ephemeral else [])]
        for kind in kinds:
            for each in self.spec.get(kind) or ():
                yield f"{self.name} {each.get('name')}", each

    @property
    def is_windows(self) -> bool:
        return bool((self.spec.get("os") or {}).get("name") == "windows")


def workloads(cluster: Cluster) -> tuple[list[Workload], list[str]]:
    """Those of the namespace, and what of them may not be read. Raises Unsupported where there is nothing to
    look at or no pod may be read, ChaosError where there is no such namespace."""
    cluster.exists()
    pods = [each for each in cluster.items(f"{cluster.here}/pods") if not _has_ended(each)]
    made, unread = readable(
        cluster, {kind: f"{cluster.of(group)}/{name}" for kind, (group, name) in TEMPLATES.items()}
    )
    owners = {(kind, _name(each)): _owner(each) for kind, several in made.items() for each in several}
    found = [Workload(_maker(each, owners), each.get("spec") or {}, True) for each in pods]
    running = {each.name for each in found}
    for kind, several in made.items():
        for each in several:
            name = f"{kind}/{_name(each)}"
            if name not in running and _owner(each) is None and not _has_ended(each):
                found.append(Workload(name, _template(each), False))
    if not found and not unread:
        raise Unsupported(f"the namespace {cluster.namespace} has no pods, and nothing that makes some")
    return found, unread


def _name(each: Mapping[str, Any]) -> str:
    return str(each["metadata"]["name"])


def _owner(each: Mapping[str, Any]) -> tuple[str, str] | None:
    """Kind and name of what looks after it."""
    for owner in each["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return owner["kind"], owner["name"]
    return None


def _maker(pod: Mapping[str, Any], owners: Mapping[tuple[str, str], tuple[str, str] | None]) -> str:
    """`Deployment/shop`, of a pod of one of its ReplicaSets."""
    maker = ("Pod", _name(pod))
    owner = _owner(pod)
    while owner is not None:
        maker, owner = owner, owners.get(owner)
    return "/".join(maker)


def _has_ended(each: Mapping[str, Any]) -> bool:
    """A pod or job that will do nothing any more."""
    status = each.get("status") or {}
    ends = [
        condition
        for condition in status.get("conditions") or ()
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True"
    ]
    return status.get("phase") in ("Succeeded", "Failed") or bool(ends)


def _template(each: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = each.get("spec") or {}
    if "jobTemplate" in spec:
        spec = spec["jobTemplate"].get("spec") or {}
    return (spec.get("template") or {}).get("spec") or {}
