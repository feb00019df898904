"""The Kubernetes cluster of a plan, and what of it a target is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from chaos_locust.data import Data
from chaos_locust.errors import Problem

SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")
"""Whatever fails there fails everywhere: never touched."""

WORKLOADS = ("deployment", "statefulset")
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def _dns_name(value: str) -> str:
    if not _DNS_NAME.fullmatch(value):
        raise ValueError(f"'{value}' is no name in Kubernetes; allowed: small letters, digits, - and .")
    return value


def _namespace(value: str) -> str:
    if value in SYSTEM_NAMESPACES:
        raise ValueError(f"'{value}' belongs to Kubernetes itself, and is never touched")
    return _dns_name(value)


DnsName = Annotated[str, AfterValidator(_dns_name)]
Namespace = Annotated[str, AfterValidator(_namespace)]


class Cluster(Data):
    """kubeconfig, context: as kubectl takes them; without: KUBECONFIG and its current context, or the cluster
    that this runs in. namespaces: those that faults may touch. nodes: whether they may touch nodes, which
    belong to all namespaces."""

    kubeconfig: str | None = Field(default=None, min_length=1)
    context: str | None = Field(default=None, min_length=1)
    namespaces: tuple[Namespace, ...] = ()
    nodes: bool = False


class KubernetesTarget(Data):
    """Pods of a `namespace`: those of a `deployment` or `statefulset`, or all that a label `selector` finds;
    `container` is the one of them that is meant, by default their first. Or nodes: `node` by name, or all
    that `nodes`, a label selector, finds. `service`, in that namespace, is how the load reaches what is
    there."""

    namespace: Namespace | None = None
    deployment: DnsName | None = None
    statefulset: DnsName | None = None
    selector: str | None = Field(default=None, min_length=1)
    container: DnsName | None = None
    service: DnsName | None = None
    node: DnsName | None = None
    nodes: str | None = Field(default=None, min_length=1)

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        pods = [key for key in (*WORKLOADS, "selector") if data.get(key) is not None]
        nodes = [key for key in ("node", "nodes") if data.get(key) is not None]
        if len(pods) + len(nodes) != 1:
            given = "none is given" if not pods + nodes else f"{' and '.join(pods + nodes)} are given"
            allowed = "deployment, statefulset or selector (with namespace), node or nodes"
            return [Problem("", f"{given}; give one of {allowed}")]
        if pods and data.get("namespace") is None:
            return [Problem("namespace", "is missing; say where the pods are")]
        if data.get("service") is not None and data.get("namespace") is None:
            return [Problem("namespace", "is missing; say where the service is")]
        if nodes and data.get("container") is not None:
            return [Problem("container", f"has no effect beside {nodes[0]}")]
        return []

    @property
    def workload(self) -> tuple[str, str] | None:
        """(kind, name)"""
        for kind in WORKLOADS:
            if (name := getattr(self, kind)) is not None:
                return kind, name
        return None

    @property
    def is_nodes(self) -> bool:
        return self.node is not None or self.nodes is not None

    def __str__(self) -> str:
        if self.is_nodes:
            return f"node {self.node}" if self.node else f"nodes with {self.nodes}"
        what = " ".join(self.workload) if self.workload else f"pods with {self.selector}"
        return f"{what} in {self.namespace}"
