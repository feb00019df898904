"""Undoes what dead runs left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from chaos_locust.backends.base import Backend, Undo
from chaos_locust.backends.registry import Backends
from chaos_locust.backends.state import leases_folder
from chaos_locust.backends.toxiproxy import ToxiproxyBackend
from chaos_locust.errors import BackendError, LeaseError
from chaos_locust.leases.store import Lease, LeaseStore, boottime_s
from chaos_locust.leases.undo import SETTLE_S, description, undo_once

DEFAULT_PROXY_API = "http://127.0.0.1:8474"


def cleanup(scan: bool, proxy_apis: Sequence[str] = (), store: LeaseStore | None = None) -> list[str]:
    """One line for each thing that was undone. Leases of live runs are left alone. Idempotent.

    scan: looks also for our marks that no lease tells of, on the proxies given, by default on the usual one.
    Raises BackendError with a line for each thing that could not be undone, and for each lease that could
    not be read; everything else is undone before.
    """
    store = store or LeaseStore(leases_folder(os.environ))
    backends, undone = Backends(), list[str]()
    store.sweep()
    leases, failed = store.read()
    due = [lease for lease in leases if lease.is_due(boottime_s())]
    for lease in _removable_last(due):
        try:
            backend = backends.named(lease.undo["backend"])
            _undo_surely(backend, lease.undo)
            store.remove(lease)
            undone.append(f"undone: {description(backend, lease.undo)} (run {lease.run_id}, {lease.label})")
        except (BackendError, LeaseError) as error:
            failed.append(f"{error} (run {lease.run_id}, {lease.label})")
    if scan:
        alive = [lease for lease in leases if lease not in due]
        backend = backends.named(ToxiproxyBackend.name)
        for place in proxy_apis or [DEFAULT_PROXY_API]:
            _scan(backend, place, alive, bool(proxy_apis), undone, failed)
    if failed:
        raise BackendError("\n".join([*failed, *undone]))
    return undone


def _scan(
    backend: Backend, place: str, alive: Sequence[Lease], asked: bool, undone: list[str], failed: list[str]
) -> None:
    try:
        found = backend.scan(place)
    except BackendError as error:
        if asked:  # nobody need have a proxy at the usual address
            failed.append(str(error))
        return
    kept = {name for lease in alive for name in _names(lease.undo)}
    for undo in found:
        if "toxics" in undo:
            undo["toxics"] = [toxic for toxic in undo["toxics"] if toxic["name"] not in kept]
            if not undo["toxics"]:
                continue
        elif undo["proxy"] in kept:
            continue
        try:
            _undo_surely(backend, undo)
            undone.append(f"undone: {description(backend, undo)} at {place} (found by its mark)")
        except BackendError as error:
            failed.append(str(error))


def _undo_surely(backend: Backend, undo: Undo) -> None:
    undo_once(backend, undo)
    time.sleep(SETTLE_S)
    undo_once(backend, undo)


def _removable_last(leases: Sequence[Lease]) -> list[Lease]:
    """Faults before the proxies that were made for them."""
    return sorted(leases, key=lambda lease: lease.fault is None)


def _names(undo: Undo) -> list[str]:
    return [undo.get("proxy", ""), *(toxic["name"] for toxic in undo.get("toxics", ()))]
