"""Which backend does a fault: by the fault's family; those of installed packages come by entry points."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from chaos_locust.backends.base import Backend
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault

GROUP = "chaos_locust.backends"

# Imported when first asked for: some need packages that only an extra installs.
BUILT_IN = {
    "proxy": "chaos_locust.backends.proxy.backend:ToxiproxyBackend",
    "http": "chaos_locust.backends.http.backend:HttpBackend",
    "packets": "chaos_locust.backends.packets.backend:PacketsBackend",
    "process": "chaos_locust.backends.process.backend:ProcessBackend",
    "resources": "chaos_locust.backends.resources.backend:ResourcesBackend",
    "files": "chaos_locust.backends.files.backend:FilesBackend",
    "clock": "chaos_locust.backends.clock.backend:ClockBackend",
    "containers": "chaos_locust.backends.containers.backend:ContainersBackend",
    "postgres": "chaos_locust.backends.postgres.backend:PostgresBackend",
    "redis": "chaos_locust.backends.redis.backend:RedisBackend",
    "kubernetes": "chaos_locust.backends.kubernetes.backend:KubernetesBackend",
    "chaos_mesh": "chaos_locust.backends.chaos_mesh.backend:ChaosMeshBackend",
}


class Backends:
    """One backend for each family, made when first asked for; they share the account of our own bytes."""

    def __init__(self) -> None:
        self._watch = LinkWatch()
        self._known: dict[str, Backend] = {}

    def named(self, name: str) -> Backend:
        """`name` is a family of faults, and stands in every Undo. Raises BackendError."""
        if name not in self._known:
            self._known[name] = self._built_in(name) if name in BUILT_IN else _installed(name)
        return self._known[name]

    def _built_in(self, name: str) -> Backend:
        module, _, made = BUILT_IN[name].partition(":")
        backend: Backend = getattr(import_module(module), made)(self._watch)
        return backend


def backend_for(fault: Fault) -> Backend:
    """A new backend for the fault's family. Raises BackendError."""
    return Backends().named(fault.family)


def _installed(name: str) -> Backend:
    for entry in entry_points(group=GROUP, name=name):
        try:
            backend: Backend = entry.load()()
        except Exception as error:
            raise BackendError(f"the backend {name} ({entry.value}) cannot be loaded: {error}") from error
        return backend
    raise BackendError(f"no backend is installed for faults of the family {name!r}")
