"""The Kubernetes API, by the official client: objects are the JSON that the server speaks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from chaos_locust.backends.kubernetes.exec import executed
from chaos_locust.backends.kubernetes.reach import reached
from chaos_locust.backends.kubernetes.words import told, why
from chaos_locust.errors import BackendError
from chaos_locust.plan.cluster import Cluster

ANSWER_S = (3.0, 10.0)
"""To connect, and to answer."""

PAGE = 500

LISTED_ANEW = 3
"""So often a list is begun again whose pages went out of date meanwhile (410)."""

BUSY_TRIES, LONGEST_PAUSE_S = 3, 2.0
"""A server that is busy (429) and names a pause no longer than this is asked again after it."""

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
CONFIGS = {name: Kind("", "v1", f"{name}s") for name in ("configmap", "secret")}
WORKLOADS = {name: Kind("apps", "v1", f"{name}s") for name in ("deployment", "statefulset")}


class Refused(BackendError):
    """The server's answer is an error. status: of HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Kubernetes:
    """Every method raises BackendError: Refused where the server answered. Each call has a time-out.

    place: the kubeconfig and context that it was reached by, for somebody who comes later and elsewhere.
    where: the server's URL.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._settings, self.place = reached(cluster)
        self._settings.retries = False
        from kubernetes import client

        self._client: Any = client.ApiClient(self._settings)
        self.where = str(self._settings.host)

    # -- objects ----------------------------------------------------------------------------------------

    def get(self, kind: Kind, namespace: str | None, name: str) -> Json:
        return self.ask("GET", kind.path(namespace, name))

    def all_of(self, kind: Kind, namespace: str | None = None, selector: str = "") -> list[Json]:
        """All pages of it."""
        for _ in range(LISTED_ANEW):
            try:
                return self._pages(kind.path(namespace), selector)
            except Refused as error:
                if error.status != 410:
                    raise
        raise BackendError(f"the list of {kind.plural} goes out of date while it is read (410)")

    def _pages(self, path: str, selector: str) -> list[Json]:
        query, found = [("limit", str(PAGE)), ("labelSelector", selector)], list[Json]()
        token = ""
        while True:
            page = self.ask("GET", path, query=[*query, ("continue", token)])
            found += page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue") or ""
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

    def evict(self, namespace: str, name: str, uid: str, dry: bool = False) -> None:
        """Refused with status 429 where a disruption budget does not allow it."""
        body: Json = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        if dry:
            body["deleteOptions"]["dryRun"] = ["All"]
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

    def run(
        self, namespace: str, pod: str, container: str, command: Sequence[str],
        limit_s: float = ANSWER_S[1], until: str = "",
    ) -> tuple[int | None, str]:  # fmt: skip
        """A command in a container: its exit code, None where it was cut off, and what it wrote. until: it is
        left to itself when it has written this."""
        query = [("container", container), ("stdout", "true"), ("stderr", "true")]
        query += [("command", word) for word in command]
        path = PODS.path(namespace, pod, "exec")
        _, url, headers, *_ = self._client.param_serialize(
            "GET", path, query_params=query, header_params={}, auth_settings=["BearerToken"]
        )
        try:
            return executed(self._settings, url, headers, limit_s, until)
        except BackendError as error:
            raise BackendError(f"exec in {namespace}/{pod}: {error}") from None

    # -- the wire ---------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, query: Query = (), body: Json | None = None) -> Json:
        data = self._raw(method, path, query, body)
        try:
            answer = json.loads(data or b"{}")
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise BackendError(f"{self.where} is no Kubernetes API: {method} {path} gives {data[:60]!r}")
        return answer

    def ping(self, limit_s: float) -> None:
        """Raises BackendError where the server does not answer within the limit, or not as it should."""
        try:
            self._answer("GET", "/version", (), None, (limit_s, limit_s)).read()
        except Refused as error:
            if error.status >= 500:
                raise

    def stream(self, path: str, query: Query, silent_s: float) -> Iterator[Json]:
        """The events of a watch, until the server ends it. silent_s: one that says nothing for so long has
        broken off."""
        from urllib3.exceptions import HTTPError

        answer = self._answer("GET", path, query, None, (ANSWER_S[0], silent_s))
        unread = b""
        try:
            for data in answer.response.stream(65536):
                *lines, unread = (unread + data).split(b"\n")
                yield from map(json.loads, filter(None, lines))
        except (HTTPError, OSError, ValueError) as error:
            raise BackendError(f"the watch of {path} broke off: {why(error)}") from None
        finally:
            answer.response.close()

    def _raw(self, method: str, path: str, query: Query, body: Json | None) -> bytes:
        from urllib3.exceptions import HTTPError

        try:
            data: bytes = self._answer(method, path, query, body, ANSWER_S).read()
        except (HTTPError, OSError) as error:
            raise BackendError(f"the Kubernetes API at {self.where} breaks off: {why(error)}") from None
        return data

    def _answer(
        self, method: str, path: str, query: Query, body: Json | None, limits_s: tuple[float, float]
    ) -> Any:
        """Raises Refused for what is no success."""
        from kubernetes.client.exceptions import ApiException  # so the client tells of TLS that fails
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
            for left in reversed(range(BUSY_TRIES)):
                answer: Any = self._client.call_api(*asked, _request_timeout=limits_s)
                refusal = b"" if 200 <= answer.status < 300 else answer.read()
                pause_s = _pause_s(answer)
                if pause_s is None or not left:
                    break
                time.sleep(pause_s)
        except (ApiException, HTTPError, OSError) as error:
            raise BackendError(f"the Kubernetes API at {self.where} does not answer: {why(error)}") from None
        if not 200 <= answer.status < 300:
            said = told(answer.status, refusal)
            raise Refused(answer.status, f"Kubernetes refuses {method} {path}: {said}")
        return answer


def _pause_s(answer: Any) -> float | None:
    """After which a busy server wants to be asked again; None: it is not busy, or for longer."""
    named = str(answer.headers.get("Retry-After") or "")
    if answer.status != 429 or not named.isdecimal() or float(named) > LONGEST_PAUSE_S:
        return None
    return float(named)
