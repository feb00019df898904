"""A cluster in which everything is wrong, for positive controls: as much of the Kubernetes API as the
measures speak, over HTTP on loopback, with objects that have the defects. It tells everybody everything."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from compliance.measures.bad import BadHandler, bad_service
from compliance.target import Kubernetes, Target

NAMESPACE = "bad"
_RBAC = "rbac.authorization.k8s.io"
_CONTAINER = {
    "name": "app",
    "image": "registry.example:5000/shop:latest",
    "env": [
        {"name": "DB_PASSWORD", "value": "made-up-for-a-test"},
        {"name": "API", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}},
    ],
    "securityContext": {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}},
    "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
}
_POD = {
    "metadata": {"name": "shop", "namespace": NAMESPACE},
    "spec": {
        "serviceAccountName": "default",
        "hostNetwork": True,
        "hostPID": True,
        "containers": [_CONTAINER],
        "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
    },
    "status": {"phase": "Running"},
}
_POLICY = {
    "metadata": {"name": "allow-all", "namespace": NAMESPACE},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
}
_CLUSTER_ADMIN = {
    "metadata": {"name": "cluster-admin"},
    "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
}
_DEVELOPER = {
    "metadata": {"name": "developer", "namespace": NAMESPACE},
    "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}],
}
_EVERYTHING = {
    "metadata": {"name": "everything"},
    "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [
        {"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE},
        {"kind": "User", "apiGroup": _RBAC, "name": "intern"},
    ],
}
_SECRETS = {
    "metadata": {"name": "secrets", "namespace": NAMESPACE},
    "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": "developer"},
    "subjects": [{"kind": "Group", "apiGroup": _RBAC, "name": "system:unauthenticated"}],
}
LISTS: Mapping[str, list[Mapping[str, Any]]] = {
    "pods": [_POD],
    "networkpolicies": [_POLICY],
    "roles": [_DEVELOPER],
    "rolebindings": [_SECRETS],
    "clusterroles": [_CLUSTER_ADMIN],
    "clusterrolebindings": [_EVERYTHING],
}
"""By the last part of the path; all other lists are empty."""
METRICS = """\
# TYPE apiserver_storage_transformation_operations_total counter
apiserver_storage_transformation_operations_total{resource="secrets",status="OK",\
transformation_type="to_storage",transformer_prefix="identity"} 3
"""


class BadApiServer(BadHandler):
    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        last = path.rpartition("/")[2]
        if path == "/metrics":
            self._answer(200, METRICS)
        elif path == "/apis":
            self._answer(200, {"kind": "APIGroupList", "groups": []})
        elif path.endswith((f"/namespaces/{NAMESPACE}", "/serviceaccounts/default")):
            self._answer(200, {"metadata": {"name": last}})
        else:
            self._answer(200, {"kind": "List", "metadata": {}, "items": LISTS.get(last, [])})

    def do_POST(self) -> None:
        """Every pod is admitted."""
        self._answer(201, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))


@contextmanager
def bad_cluster() -> Iterator[Target]:
    with bad_service(BadApiServer) as url, tempfile.TemporaryDirectory(prefix="bad-cluster-") as folder:
        kubeconfig = Path(folder) / "config"
        kubeconfig.write_text(json.dumps(kubeconfig_of(url)), encoding="utf-8")
        yield Target(
            name="bad",
            kubernetes=Kubernetes(kubeconfig=kubeconfig, namespace=NAMESPACE, admins=("operations",)),
        )


def kubeconfig_of(url: str, **user: str) -> Mapping[str, Any]:
    """As a document; user: its credentials."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "only",
        "contexts": [{"name": "only", "context": {"cluster": "only", "user": "only"}}],
        "clusters": [{"name": "only", "cluster": {"server": url}}],
        "users": [{"name": "only", "user": user}],
    }
