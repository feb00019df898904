"""The Docker API as we use it: bounded in time, every failure one clear line. Needs the package docker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from chaos_locust.errors import BackendError

ANSWER_S = 15
LABEL = "chaos-locust"
"""Volumes with this label are notes of ours: its value is an Undo as JSON."""

VARIABLES = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
DEFAULT_HOST = "unix:///var/run/docker.sock"

T = TypeVar("T")


class NotThere(BackendError):
    """No such container, network or volume."""


def docker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What says where Docker is, as data for an Undo."""
    return {name: environ[name] for name in VARIABLES if environ.get(name)}


class Docker:
    """The daemon that `environment` names (DOCKER_HOST, ...). Every method raises BackendError, NotThere."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.where = environment.get("DOCKER_HOST", DEFAULT_HOST)
        try:
            import docker
            from docker.utils import kwargs_from_env
        except ImportError:
            raise BackendError(
                "faults on containers need the package docker: pip install 'chaos-locust[containers]'"
            ) from None
        self._errors = docker.errors
        self._api: Any = self._told(
            lambda: docker.APIClient(
                **kwargs_from_env(environment=dict(environment)), version="auto", timeout=ANSWER_S
            )
        )

    def container(self, name: str) -> dict[str, Any]:
        """As `docker inspect` tells."""
        return self._told(lambda: dict(self._api.inspect_container(name)))

    def stats(self, name: str) -> dict[str, Any]:
        """As they are now."""
        return self._told(lambda: dict(self._api.stats(name, stream=False, one_shot=True)))

    def host_cpus(self) -> float:
        return float(self._told(lambda: self._api.info()["NCPU"]))

    def kill(self, name: str, signal: str) -> None:
        self._told(lambda: self._api.kill(name, f"SIG{signal}"))

    def pause(self, name: str) -> None:
        self._told(lambda: self._api.pause(name))

    def unpause(self, name: str) -> None:
        self._told(lambda: self._api.unpause(name))

    def stop(self, name: str, grace_s: float) -> None:
        self._told(lambda: self._api.stop(name, timeout=int(grace_s)))

    def start(self, name: str) -> None:
        self._told(lambda: self._api.start(name))

    def update(self, name: str, limits: Mapping[str, int]) -> None:
        """`limits` by their names in HostConfig; the package itself knows no NanoCpus."""

        def ask() -> None:
            url = f"{self._api.base_url}/v{self._api.api_version}/containers/{name}/update"
            reply = self._api.post(url, json=dict(limits), timeout=ANSWER_S)
            if not reply.ok:
                raise BackendError(f"Docker refuses: {reply.json().get('message', reply.reason)}")

        self._told(ask)

    def disconnect(self, network: str, name: str) -> None:
        self._told(lambda: self._api.disconnect_container_from_network(name, network))

    def connect(self, network: str, name: str, endpoint: Mapping[str, Any]) -> None:
        """endpoint: arguments such as aliases, links, ipv4_address."""
        self._told(lambda: self._api.connect_container_to_network(name, network, **endpoint))

    def note(self, mark: str, text: str) -> None:
        self._told(lambda: self._api.create_volume(mark, labels={LABEL: text}))

    def forget(self, mark: str) -> None:
        with contextlib.suppress(NotThere):
            self._told(lambda: self._api.remove_volume(mark))

    def notes(self) -> dict[str, str]:
        """mark -> text."""
        found = self._told(lambda: self._api.volumes(filters={"label": LABEL})["Volumes"])
        return {volume["Name"]: volume["Labels"][LABEL] for volume in found or ()}

    def _told(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except self._errors.NotFound as error:
            raise NotThere(f"Docker at {self.where}: {error.explanation or error}") from None
        except self._errors.APIError as error:
            raise BackendError(f"Docker at {self.where} refuses: {error.explanation or error}") from None
        except (self._errors.DockerException, OSError) as error:  # requests' errors are OSErrors
            raise BackendError(f"Docker at {self.where} {_why(error)}") from None


def _why(error: Exception) -> str:
    text = str(error)
    if "Permission denied" in text or "PermissionError" in text:
        return "may not be used by this user: run as root or as a member of the group docker"
    if "No such file" in text or "FileNotFoundError" in text or "Connection refused" in text:
        return "cannot be reached: is it running? DOCKER_HOST says where it is"
    return f"does not answer: {text.splitlines()[0][:200] if text else type(error).__name__}"
