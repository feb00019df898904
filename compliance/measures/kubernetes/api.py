"""The API server of a cluster, as the kubeconfig of the target's description reaches it. Objects are JSON, as
the server gives them: what a newer cluster adds to them is kept.

What we may not read is told as Unsupported, so that it never counts as a pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from chaos_locust.errors import ChaosError
from compliance.measures.base import Unsupported
from compliance.site import Site, Unreachable
from compliance.target import Kubernetes

if TYPE_CHECKING:
    from kubernetes import client

CONNECT_S, READ_S = 5.0, 15.0
PAGE = 500
"""Objects in one answer, as kubectl has it."""


class Forbidden(Unsupported):
    """The kubeconfig's user may not read this."""


class NotThere(Unsupported):
    """The cluster has no such thing."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str

    @property
    def message(self) -> str:
        """What the server says of a refusal."""
        found = self._json()
        return str(found.get("message", "")) if isinstance(found, Mapping) else self.text[:200]

    def document(self) -> Mapping[str, Any]:
        """Raises ChaosError where it is no JSON object."""
        found = self._json()
        if not isinstance(found, Mapping):
            raise ChaosError("the API server answers with something else than a JSON object")
        return found

    def _json(self) -> Any:
        try:
            return json.loads(self.text)
        except ValueError:
            return None


class Cluster:
    """Raises ChaosError when the kubeconfig is no good, Unsupported without the package kubernetes."""

    def __init__(self, site: Site) -> None:
        assert site.target.kubernetes is not None
        described = site.target.kubernetes
        self.namespace = described.namespace
        self._site = site
        self._client = _client(described)
        for each in self._client.configuration.api_key.values():
            site.secrets.add(each.removeprefix("Bearer "))

    @property
    def here(self) -> str:
        """The path of the namespace's objects of the core group; those of others are at `of(group)`."""
        return f"/api/v1/namespaces/{self.namespace}"

    def of(self, group: str) -> str:
        """group: with its version, `apps/v1`."""
        return f"/apis/{group}/namespaces/{self.namespace}"

    def get(self, path: str) -> Mapping[str, Any]:
        """Raises Forbidden, NotThere, Unreachable; ChaosError for any other refusal."""
        return self._good(path, self.ask("GET", path)).document()

    def text(self, path: str) -> str:
        """As `get`, of what is no JSON."""
        return self._good(path, self.ask("GET", path)).text

    def items(self, path: str) -> list[Mapping[str, Any]]:
        """All objects of a list, page by page. Raises as `get`."""
        found: list[Mapping[str, Any]] = []
        page: Mapping[str, Any] = {}
        query: dict[str, Any] = {"limit": PAGE}
        while not page or query["continue"]:
            page = self.get(f"{path}?{urlencode(query)}")
            found += page.get("items") or ()
            query["continue"] = (page.get("metadata") or {}).get("continue", "")
        self._site.note(f"{path}: {len(found)} objects")
        return found

    def dry_run(self, path: str, document: Mapping[str, Any]) -> Answer:
        """What the server would say to a new object: it is put through admission, and not kept."""
        answer = self.ask("POST", f"{path}?{urlencode({'dryRun': 'All'})}", document)
        self._site.note(f"{path}, dry run: {answer.status} {answer.message}")
        return answer

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """One request, that is not tried again. Raises Unreachable."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json, */*", "Content-Type": "application/json"}
        call = self._client.param_serialize(
            method, path, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            found = self._client.call_api(*call, _request_timeout=(CONNECT_S, READ_S))
            return Answer(found.status, found.read().decode(errors="replace"))
        except (HTTPError, OSError) as error:
            raise Unreachable(f"{self._client.configuration.host}: {error}") from None
        except ApiException as error:  # of TLS: it has no status
            raise Unreachable(f"{self._client.configuration.host}: {error.reason}") from None

    def stranger(self) -> Cluster:
        """The same server, for who has no credentials."""
        from kubernetes import client

        known = self._client.configuration
        bare = client.Configuration(host=known.host, retries=False)
        for name in ("ssl_ca_cert", "ca_cert_data", "verify_ssl", "tls_server_name", "proxy", "no_proxy"):
            setattr(bare, name, getattr(known, name))
        other = object.__new__(Cluster)
        other.namespace, other._site, other._client = self.namespace, self._site, client.ApiClient(bare)
        return other

    def exists(self) -> None:
        """Raises ChaosError where there is no such namespace: an empty list would say the same of it as of
        one that is in order. Who may not read namespaces is believed."""
        try:
            self.get(self.here)
        except Forbidden:
            self._site.note(f"the namespace {self.namespace} itself may not be read")
        except NotThere:
            raise ChaosError(f"kubernetes.namespace: the cluster has no {self.namespace!r}") from None

    def _good(self, path: str, answer: Answer) -> Answer:
        if answer.status == 200:
            return answer
        self._site.note(f"{path}: {answer.status} {answer.message}")
        match answer.status:
            case 401:
                raise ChaosError("the API server does not take the credentials of the kubeconfig")
            case 403:
                raise Forbidden(f"{path.partition('?')[0]} may not be read: {answer.message}")
            case 404:
                raise NotThere(f"the cluster has no {path.partition('?')[0]}")
        raise ChaosError(f"{path}: the API server answers {answer.status}: {answer.message}")


def readable(
    cluster: Cluster, paths: Mapping[str, str]
) -> tuple[Mapping[str, Sequence[Mapping[str, Any]]], list[str]]:
    """The objects by the name that each path is given here, and what may not be read."""
    found, unread = {}, []
    for name, path in paths.items():
        try:
            found[name] = cluster.items(path)
        except Unsupported as error:
            unread.append(str(error))
    return found, unread


def told(found: Mapping[str, Iterable[str]], unread: Sequence[str]) -> Mapping[str, list[str] | None]:
    """Fields of a measure: what was found, sorted; None where nothing was, but not everything could be read.
    Raises Unsupported when that is so of all fields."""
    value = {name: sorted(set(each)) or (None if unread else []) for name, each in found.items()}
    if all(each is None for each in value.values()):
        raise Unsupported("; ".join(unread))
    return value


def _client(described: Kubernetes) -> client.ApiClient:
    """That of the kubeconfig; without one, of the pod that we are in."""
    try:
        import yaml
        from kubernetes import client, config
    except ImportError as error:
        needed = "pip install 'chaos-locust[kubernetes]'"
        raise Unsupported(f"Kubernetes needs the package {error.name}: {needed}") from None

    configuration = client.Configuration(retries=False)
    file = str(described.kubeconfig) if described.kubeconfig is not None else None
    try:
        try:
            config.load_kube_config(
                file, described.context, client_configuration=configuration, persist_config=False
            )
        except config.ConfigException:
            if file is not None or described.context is not None:
                raise
            config.load_incluster_config(client_configuration=configuration)
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        where = file or "the default kubeconfig"
        raise ChaosError(f"kubernetes.kubeconfig: {where} is no good: {error}") from None
    return client.ApiClient(configuration)
