"""Whether the pods of a namespace are kept apart unless something lets them talk, by its NetworkPolicies.

Policies are only words where the cluster's network does not enforce them, which its API does not show; what
can be reached is for the measure open_ports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal

from chaos_locust.errors import ChaosError
from compliance.measures.base import Measure, SideEffect
from compliance.measures.kubernetes.api import Cluster
from compliance.measures.kubernetes.bad import bad_cluster
from compliance.site import Site
from compliance.target import Target

NETWORKING = "networking.k8s.io/v1"
Direction = Literal["ingress", "egress"]
DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")


class Policies(Measure):
    name = "kubernetes_network_policies"
    says = "whether the namespace's NetworkPolicies forbid what nothing allows"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("kubernetes",)
    fields: ClassVar[Mapping[str, str]] = {
        "not_denied": "of ingress and egress, what no policy denies by default to every pod; null: policies "
        "of other kinds than NetworkPolicy may do so",
        "allow_everything": "policies with a rule that allows all traffic of a direction",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        cluster = Cluster(site)
        cluster.exists()
        found = cluster.items(f"{cluster.of(NETWORKING)}/networkpolicies")
        not_denied: list[str] | None = [
            each for each in DIRECTIONS if not any(denies(policy, each) for policy in found)
        ]
        if not_denied and (others := list(_others(cluster))):
            site.note(f"policies of other kinds: {', '.join(others)}")
            not_denied = None
        return {
            "not_denied": not_denied,
            "allow_everything": [
                f"{policy['metadata']['name']}: {each}"
                for policy in found
                for each in DIRECTIONS
                if allows_everything(policy, each)
            ],
        }

    def bad(self) -> AbstractContextManager[Target]:
        return bad_cluster()


def denies(policy: Mapping[str, Any], direction: Direction) -> bool:
    """Whether it takes every pod of the namespace, so that only what some rule allows may pass."""
    spec = policy.get("spec") or {}
    selector = spec.get("podSelector") or {}
    return (
        not selector.get("matchLabels")
        and not selector.get("matchExpressions")
        and _applies(spec, direction)
        and not allows_everything(policy, direction)
    )


def allows_everything(policy: Mapping[str, Any], direction: Direction) -> bool:
    """Whether a rule names neither a peer nor a port."""
    spec = policy.get("spec") or {}
    peers = "from" if direction == "ingress" else "to"
    return _applies(spec, direction) and any(
        not rule.get(peers) and not rule.get("ports") for rule in spec.get(direction) or ()
    )


def _applies(spec: Mapping[str, Any], direction: Direction) -> bool:
    """Without types, a policy is about ingress, and about egress if it has rules for it."""
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    return direction.capitalize() in types


def _others(cluster: Cluster) -> Iterator[str]:
    """Objects by which Calico, Cilium, OVN and others say it in their own way, or which may not be read."""
    for group in cluster.get("/apis").get("groups") or ():
        if group["name"] == NETWORKING.partition("/")[0]:
            continue
        path = f"/apis/{group['preferredVersion']['groupVersion']}"
        try:
            for kind in cluster.get(path).get("resources") or ():
                name = str(kind["name"])
                if not name.endswith("networkpolicies"):
                    continue
                where = f"{path}/namespaces/{cluster.namespace}" if kind.get("namespaced") else path
                if cluster.items(f"{where}/{name}"):
                    yield f"{name}.{group['name']}"
        except ChaosError as error:  # of one group, whose server is another
            yield str(error)


MEASURES = (Policies,)
