"""A small API server of Kubernetes, and objects of it: answers by path, and remembers what it was asked."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from compliance.measures.bad import BadHandler, bad_service
from compliance.measures.kubernetes.bad import kubeconfig_of
from compliance.target import Kubernetes, Target

CORE = "/api/v1/namespaces/shop"
APPS, BATCH = "/apis/apps/v1/namespaces/shop", "/apis/batch/v1/namespaces/shop"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
NETWORK = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies"
PAGE = 2
TOKEN = "k8s-token-that-nobody-may-see"


class Request(NamedTuple):
    method: str
    path: str
    authorization: str | None


@contextmanager
def api(answers: Mapping[str, Any], **described: Any) -> Iterator[tuple[Target, list[Request]]]:
    """A target that has the server, and what it was asked.

    answers: by path a list of objects, another document, a text, or a status that refuses; by `POST` and path
    a function of the document that gives a status. What is not given is an empty list, but for the namespace.
    """
    given = {CORE: {"metadata": {"name": "shop"}}, **answers}
    asked: list[Request] = []

    class Server(BadHandler):
        def do_GET(self) -> None:
            self._ask()
            parts = urlsplit(self.path)
            found = given.get(parts.path, [])
            if isinstance(found, int):
                self._answer(found, {"kind": "Status", "message": f"{found}: not for shop-auditor"})
            elif isinstance(found, list):
                start = int(parse_qs(parts.query).get("continue", ["0"])[0])
                more = str(start + PAGE) if start + PAGE < len(found) else ""
                self._answer(200, {"metadata": {"continue": more}, "items": found[start : start + PAGE]})
            else:
                self._answer(200, found)

        def do_POST(self) -> None:
            self._ask()
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = given[f"POST {urlsplit(self.path).path}"](document)
            self._answer(status, document if status == 201 else {"message": "refused"})

        def _ask(self) -> None:
            asked.append(Request(self.command, self.path, self.headers.get("Authorization")))

    with bad_service(Server) as url, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config"
        file.write_text(json.dumps(kubeconfig_of(url, token=TOKEN)))
        yield (
            Target(
                name="test", kubernetes=Kubernetes(**{"kubeconfig": file, "namespace": "shop", **described})
            ),
            asked,
        )


def good(**changes: Any) -> dict[str, Any]:
    """A pod's spec in which nothing is wrong; changes: of its container."""
    container = {
        "name": "app",
        "image": "registry:5000/shop:1.4",
        "resources": {"limits": {"cpu": "1", "memory": "64Mi"}},
        "securityContext": {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        **changes,
    }
    return {"serviceAccountName": "shop", "containers": [container]}


def pod(name: str, spec: Any, phase: str = "Running", owner: tuple[str, str] | None = None) -> dict[str, Any]:
    """owner: kind and name."""
    owners = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else []
    return {"metadata": {"name": name, "ownerReferences": owners}, "spec": spec, "status": {"phase": phase}}


def making(name: str, spec: Any, owner: tuple[str, str] | None = None, condition: str = "") -> dict[str, Any]:
    """What makes pods of this spec."""
    made = pod(name, {"template": {"spec": spec}}, "", owner)
    conditions = [{"type": condition, "status": "True"}] if condition else []
    return {**made, "status": {"conditions": conditions}}
