"""What a partition makes in a cluster: a policy, and Jobs that end by themselves. Pure.

Each Job has a deadline that the cluster keeps, and is removed when it is over; the policy belongs to one, so
that the cluster removes it with it, whoever has died meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from chaos_locust.backends.kubernetes.marks import MANAGER, MARK

Json = dict[str, Any]

TRY_EVERY_S = 0.5
COULD, COULD_NOT = "connected", "cut off"

# all at once: where packets are dropped, each takes as long as it may
_TRY = (
    "for address in $ADDRESSES; do "
    'timeout 2 nc -w 1 "$address" "$PORT" </dev/null >/dev/null 2>&1 & tries="$tries $!"; done; '
    "for try in $tries; do wait $try && ok=1; done; tries=; "
    f'[ "$ok" ] && echo {COULD} || echo {COULD_NOT}; ok=; sleep {TRY_EVERY_S:g}'
)


def probe(mark: str, image: str, addresses: Sequence[str], port: int, lasts_s: float) -> Json:
    """A Job that connects to any of the addresses, again and again, and writes down whether it could."""
    env = {"ADDRESSES": " ".join(addresses), "PORT": str(port)}
    return _job(mark, image, f"while true; do {_TRY}; done", lasts_s, env)


def end(mark: str, image: str, lasts_s: float) -> Json:
    """A Job whose end is the end of what belongs to it."""
    return _job(mark, image, f"sleep {math.ceil(lasts_s)}", lasts_s, {})


def policy(mark: str, labels: Mapping[str, Any], owner: Mapping[str, Any]) -> Json:
    """Nothing in and nothing out. labels: a LabelSelector. owner: the Job, as the server shows it."""
    about = owner["metadata"]
    belongs = {"apiVersion": "batch/v1", "kind": "Job", "name": about["name"], "uid": about["uid"]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": mark, "labels": {MARK: mark, **MANAGER}, "ownerReferences": [belongs]},
        "spec": {"podSelector": dict(labels), "policyTypes": ["Ingress", "Egress"]},
    }


def _job(mark: str, image: str, script: str, lasts_s: float, env: Mapping[str, str]) -> Json:
    labels = {MARK: mark, **MANAGER}
    container = {
        "name": "chaos-locust",
        "image": image,
        "command": ["sh", "-c", script],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "resources": {"limits": {"cpu": "100m", "memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    pod = {
        "containers": [container],
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": mark, "labels": labels},
        "spec": {
            "activeDeadlineSeconds": math.ceil(lasts_s),
            "ttlSecondsAfterFinished": 0,
            "backoffLimit": 3,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
