"""Which backend does a fault: by the fault's family; those of installed packages come by entry points."""

from __future__ import annotations

from importlib.metadata import entry_points

from chaos_locust.backends.base import Backend
from chaos_locust.backends.link_watch import LinkWatch
from chaos_locust.backends.process import ProcessBackend
from chaos_locust.backends.toxiproxy import ToxiproxyBackend
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault

GROUP = "chaos_locust.backends"


class Backends:
    """One backend for each family, made when first asked for; they share the account of our own bytes."""

    def __init__(self) -> None:
        watch = LinkWatch()
        self._known: dict[str, Backend] = {
            ToxiproxyBackend.name: ToxiproxyBackend(watch),
            ProcessBackend.name: ProcessBackend(watch),
        }

    def named(self, name: str) -> Backend:
        """`name` is a family of faults, and stands in every Undo. Raises BackendError."""
        if name not in self._known:
            self._known[name] = _installed(name)
        return self._known[name]


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
