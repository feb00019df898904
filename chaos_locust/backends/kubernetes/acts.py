"""What faults in a cluster do at once, and nothing has to undo."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from chaos_locust.backends.kubernetes.api import PODS, WORKLOADS, Kubernetes, Refused
from chaos_locust.errors import BackendError

Pod = dict[str, Any]
"""{namespace, name, uid, container}"""

ENDED_BY_IT = (0, None, 137, 143)
"""Exit codes of `kill`; the container may be gone before its shell could say that all went well."""


def kill(cluster: Kubernetes, pods: Sequence[Pod], grace_s: float) -> None:
    for pod in pods:
        cluster.delete(PODS, pod["namespace"], pod["name"], pod["uid"], grace_s)


def evict(cluster: Kubernetes, pods: Sequence[Pod], must: bool) -> None:
    """must: not to have evicted a single one is a failure; of the rest the effect tells."""
    refusals = []
    for pod in pods:
        try:
            cluster.evict(pod["namespace"], pod["name"], pod["uid"])
        except Refused as error:
            if error.status not in (404, 409, 429):
                raise
            refusals.append(f"{pod['name']}: {error}")
    if must and refusals and len(refusals) == len(pods):
        raise BackendError(f"no pod may be evicted: {refusals[0]}")


def send(cluster: Kubernetes, pods: Sequence[Pod], signal: str) -> None:
    for pod in pods:
        where = pod["namespace"], pod["name"], pod["container"]
        code, text = cluster.run(*where, ["sh", "-c", f"kill -{signal} 1"])
        if code not in ENDED_BY_IT:
            raise BackendError(f"kill in {'/'.join(where)} ended with {code}: {text.strip()[:200]}")


def restart(cluster: Kubernetes, namespace: str, workload: tuple[str, str]) -> None:
    """workload: (kind, name)"""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}
    kind, name = workload
    cluster.patch(WORKLOADS[kind], namespace, name, {"spec": {"template": about}})
