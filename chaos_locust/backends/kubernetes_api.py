"""The Kubernetes API, by the official client: objects are the JSON that the server speaks."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from chaos_locust.errors import BackendError
from chaos_locust.plan.cluster import Cluster

ANSWER_S = (3.0, 10.0)
"""To connect, and to answer."""

SILENT_S = 90.0
"""A watch that says nothing for so long has broken off: it ends by itself before."""

PAGE = 500

Json = dict[str, Any]
Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Kind:
    """Where objects of a kind are."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None, part: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        one = f"/{quote(name)}" if name else ""
        return f"{root}{inside}/{self.plural}{one}{f'/{part}' if part else ''}"


PODS = Kind("", "v1", "pods")
NODES = Kind("", "v1", "nodes", namespaced=False)
SLICES = Kind("discovery.k8s.io", "v1", "endpointslices")
JOBS = Kind("batch", "v1", "jobs")
POLICIES = Kind("networking.k8s.io", "v1", "networkpolicies")
AUTOSCALERS = Kind("autoscaling", "v2", "horizontalpodautoscalers")
REVIEWS = Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews", namespaced=False)
WORKLOADS = {name: Kind("apps", "v1", f"{name}s") for name in ("deployment", "statefulset")}


class Refused(BackendError):
    """The server's answer is an error. status: of HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Kubernetes:
    """Every method raises BackendError: Refused where the server answered. Each call has a time-out."""

    def __init__(self, cluster: Cluster) -> None:
        try:
            from kubernetes import client
            from kubernetes import config as reading
        except ImportError:
            raise BackendError(
                "faults in Kubernetes need the package kubernetes: pip install 'chaos-locust[kubernetes]'"
            ) from None
        config: Any = reading  # has no types
        self._settings = client.Configuration()
        try:
            if cluster.kubeconfig or os.environ.get("KUBECONFIG") or not _inside():
                config.load_kube_config(cluster.kubeconfig, cluster.context, self._settings)
            else:
                config.load_incluster_config(self._settings)
        except (config.ConfigException, OSError, ValueError, TypeError) as error:
            where = cluster.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
            raise BackendError(f"no cluster is known from {where}: {_first_line(error)}") from None
        self._settings.retries = False
        self._client = client.ApiClient(self._settings)
        self.where = str(self._settings.host)

    # -- objects ----------------------------------------------------------------------------------------

    def get(self, kind: Kind, namespace: str | None, name: str) -> Json:
        return self.ask("GET", kind.path(namespace, name))

    def all_of(self, kind: Kind, namespace: str | None = None, selector: str = "") -> list[Json]:
        """All pages of it."""
        query, found = [("limit", str(PAGE)), ("labelSelector", selector)], list[Json]()
        token = ""
        while True:
            page = self.ask("GET", kind.path(namespace), query=[*query, ("continue", token)])
            found += page.get("items") or ()
            token = page["metadata"].get("continue") or ""
            if not token:
                return found

    def create(self, kind: Kind, namespace: str | None, body: Json, dry: bool = False) -> Json:
        query = [("dryRun", "All")] if dry else []
        return self.ask("POST", kind.path(namespace), query, body)

    def patch(
        self, kind: Kind, namespace: str | None, name: str, body: Json, part: str = "", dry: bool = False
    ) -> Json:
        """A strategic merge patch."""
        query = [("dryRun", "All")] if dry else []
        return self.ask("PATCH", kind.path(namespace, name, part), query, body)

    def delete(
        self, kind: Kind, namespace: str, name: str, uid: str | None = None, grace_s: float | None = None,
        dry: bool = False,
    ) -> None:  # fmt: skip
        """uid: only if it is still this one. What is gone already is no error."""
        body: Json = {"propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if grace_s is not None:
            body["gracePeriodSeconds"] = int(grace_s)
        if dry:
            body["dryRun"] = ["All"]
        try:
            self.ask("DELETE", kind.path(namespace, name), body=body)
        except Refused as error:
            if error.status not in (404, 409):
                raise

    def evict(self, namespace: str, name: str, dry: bool = False) -> None:
        """Refused with status 429 where a disruption budget does not allow it."""
        body: Json = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        if dry:
            body["deleteOptions"] = {"dryRun": ["All"]}
        self.ask("POST", PODS.path(namespace, name, "eviction"), body=body)

    def may(self, verb: str, group: str, resource: str, namespace: str | None) -> bool:
        resource, _, part = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": resource, "subresource": part}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**attributes, "namespace": namespace or ""}},
        }
        return bool(self.ask("POST", REVIEWS.path(), body=body)["status"]["allowed"])

    def log(self, namespace: str, pod: str, lines: int) -> list[tuple[str, str]]:
        """(time in RFC 3339, text) of the last so many lines."""
        query = [("tailLines", str(lines)), ("timestamps", "true")]
        text = self._raw("GET", PODS.path(namespace, pod, "log"), query, None).decode(errors="replace")
        return [(when, line) for when, _, line in (row.partition(" ") for row in text.splitlines())]

    def run(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> tuple[int | None, str]:
        """A command in a container: its exit code, None where it was cut off, and what it wrote. By a client
        of its own, for such a call changes how its client speaks."""
        from kubernetes import client, stream
        from kubernetes.client.exceptions import ApiException

        own: Any = client.ApiClient(self._settings)
        try:
            opened = stream.stream(
                client.CoreV1Api(own).connect_get_namespaced_pod_exec, pod, namespace, container=container,
                command=list(command), stdout=True, stderr=True, _preload_content=False,
                _request_timeout=ANSWER_S[1],
            )  # fmt: skip
            try:
                opened.run_forever(timeout=ANSWER_S[1])
                ended = None if opened.is_open() else _exit_code(opened)
                text = opened.read_all()  # which forgets the code
            finally:
                opened.close()
        except (ApiException, OSError, ValueError) as error:
            raise BackendError(f"exec in {namespace}/{pod}: {_first_line(error)}") from None
        finally:
            with contextlib.suppress(Exception):
                own.close()
        return ended, text

    # -- the wire ---------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, query: Query = (), body: Json | None = None) -> Json:
        answer: Json = json.loads(self._raw(method, path, query, body) or b"{}")
        return answer

    def stream(self, path: str, query: Query) -> Iterator[Json]:
        """The events of a watch, until the server ends it."""
        from urllib3.exceptions import HTTPError

        answer = self._answer("GET", path, query, None, (ANSWER_S[0], SILENT_S))
        unread = b""
        try:
            for data in answer.response.stream(65536):
                *lines, unread = (unread + data).split(b"\n")
                yield from map(json.loads, filter(None, lines))
        except (HTTPError, OSError, ValueError) as error:
            raise BackendError(f"the watch of {path} broke off: {_why(error)}") from None
        finally:
            answer.response.close()

    def _raw(self, method: str, path: str, query: Query, body: Json | None) -> bytes:
        data: bytes = self._answer(method, path, query, body, ANSWER_S).read()
        return data

    def _answer(
        self, method: str, path: str, query: Query, body: Json | None, limits_s: tuple[float, float]
    ) -> Any:
        """Raises Refused for what is no success."""
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json"}
        if body is not None:
            merge = "application/strategic-merge-patch+json"
            headers["Content-Type"] = merge if method == "PATCH" else "application/json"
        given = [(key, value) for key, value in query if value]
        try:
            asked = self._client.param_serialize(
                method, path, query_params=given, header_params=headers, body=body,
                auth_settings=["BearerToken"],
            )  # fmt: skip
            answer: Any = self._client.call_api(*asked, _request_timeout=limits_s)
            refusal = b"" if 200 <= answer.status < 300 else answer.read()
        except (HTTPError, OSError) as error:
            raise BackendError(
                f"the Kubernetes API at {self.where} does not answer: {_why(error)}"
            ) from None
        if not 200 <= answer.status < 300:
            told = _told(answer.status, refusal)
            raise Refused(answer.status, f"Kubernetes refuses {method} {path}: {told}")
        return answer


def _inside() -> bool:
    """Whether this runs in a pod."""
    usual = Path("~/.kube/config").expanduser()
    return "KUBERNETES_SERVICE_HOST" in os.environ and not usual.exists()


def _told(status: int, data: bytes) -> str:
    try:
        message = json.loads(data).get("message")
    except (ValueError, AttributeError):
        message = None
    if status == 401:
        return "it does not know us (401); the credentials of the kubeconfig are wrong or have expired"
    return f"{message or 'no reason is given'} ({status})"


def _exit_code(opened: Any) -> int | None:
    """`.returncode` of the client fails where the node's answer has no code, or none came."""
    try:
        code = opened.returncode
    except (ValueError, TypeError):
        return None
    return None if code is None else int(code)


def _why(error: BaseException) -> str:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate" in text:
        return "its certificate, or ours, is not accepted: " + text[:160]
    for word, meaning in (("refused", "connection refused"), ("timed out", "timed out")):
        if word in text:
            return meaning
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def labels_of(found: Mapping[str, Any]) -> dict[str, str]:
    return dict(found["metadata"].get("labels") or {})
