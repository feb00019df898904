"""What the API server of a cluster refuses: strangers, and pods that would take over their node."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.kubernetes.api import Answer, Cluster, Forbidden
from compliance.measures.kubernetes.bad import bad_cluster
from compliance.site import Site
from compliance.target import Target

LEVEL = "pod-security.kubernetes.io/enforce"
HARMLESS: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What the level `restricted` of the Pod Security Standards asks for."""
AS_ROOT: Mapping[str, Any] = {**HARMLESS, "runAsNonRoot": False, "runAsUser": 0}
PRIVILEGED: Mapping[str, Any] = {**HARMLESS, "allowPrivilegeEscalation": True, "privileged": True}


class PodSecurity(Measure):
    name = "kubernetes_pod_security"
    says = "whether the namespace admits pods that are privileged or run as root, by a dry run"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("kubernetes",)
    fields: ClassVar[Mapping[str, str]] = {
        "admits_privileged": "whether a privileged pod is admitted where a harmless one is",
        "admits_root": "whether a pod that runs as root is; null: we may not make pods, and the namespace's "
        f"label {LEVEL} does not tell",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        cluster = Cluster(site)
        cluster.exists()
        if not _admits(_tried(cluster, HARMLESS)):
            return self._by_label(cluster, site)
        return {
            "admits_privileged": _admits(_tried(cluster, PRIVILEGED)),
            "admits_root": _admits(_tried(cluster, AS_ROOT)),
        }

    def _by_label(self, cluster: Cluster, site: Site) -> Mapping[str, Any]:
        """That nothing is refused is not known without a try: something else than the label may do so."""
        why = "no pod can be tried, not even a harmless one"
        try:
            labels = cluster.get(cluster.here)["metadata"].get("labels") or {}
        except Forbidden as error:
            raise Unsupported(f"{why}; {error}") from None
        level = labels.get(LEVEL)
        site.note(f"{LEVEL} is {level}")
        if level not in ("baseline", "restricted"):
            raise Unsupported(f"{why}, and {LEVEL} is {level or 'not set'}: something else may refuse it")
        return {"admits_privileged": False, "admits_root": False if level == "restricted" else None}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_cluster()


class Anonymous(Measure):
    name = "kubernetes_anonymous"
    says = "what the API server tells who gives no credentials"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("kubernetes",)
    fields: ClassVar[Mapping[str, str]] = {
        "readable": "paths that it answers, beside its version and health",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        stranger = Cluster(site).stranger()
        here = stranger.here
        ours = (f"{here}/{each}?limit=1" for each in ("pods", "secrets", "configmaps"))
        all_ = (f"/api/v1/{each}?limit=1" for each in ("namespaces", "nodes"))
        found = []
        for path in ("/api", "/apis", "/openapi/v2", "/metrics", *ours, *all_):
            status = stranger.ask("GET", path).status
            site.note(f"{path} without credentials: {status}")
            if status == 200:
                found.append(path.partition("?")[0])
            elif status not in (401, 403, 404):
                raise ChaosError(f"{path} without credentials: the API server answers {status}")
        return {"readable": found}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_cluster()


def _tried(cluster: Cluster, context: Mapping[str, Any]) -> Answer:
    """It asks for so little that no quota has a reason to refuse it."""
    little = {"cpu": "1m", "memory": "1Mi"}
    container = {
        "name": "probe",
        "image": "registry.k8s.io/pause:3.10",
        "securityContext": context,
        "resources": {"requests": little, "limits": little},
    }
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"compliance-probe-{secrets.token_hex(4)}"},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }
    return cluster.dry_run(f"{cluster.here}/pods", document)


def _admits(answer: Answer) -> bool:
    """Raises ChaosError when it is the server that fails."""
    if answer.status >= 500 or answer.status == 429:
        raise ChaosError(f"the API server answers {answer.status}: {answer.message}")
    return answer.status in (200, 201)


MEASURES = (PodSecurity, Anonymous)
