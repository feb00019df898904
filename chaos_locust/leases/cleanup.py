"""Undoes what dead runs left behind. What belongs to a run that is alive is left alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from chaos_locust.backends.base import Backend, Undo
from chaos_locust.backends.registry import Backends
from chaos_locust.backends.state import leases_folder
from chaos_locust.errors import BackendError, LeaseError, PartlyLooked
from chaos_locust.leases.alive import Alive
from chaos_locust.leases.audit import Audit
from chaos_locust.leases.claims import Claims
from chaos_locust.leases.held import take
from chaos_locust.leases.places import Search, searches
from chaos_locust.leases.store import Lease, LeaseStore, boottime_s
from chaos_locust.leases.undo import SETTLE_S, description, undo_once
from chaos_locust.redact import redact_text


def cleanup(
    scan: bool,
    proxy_apis: Sequence[str] = (),
    store: LeaseStore | None = None,
    places: Sequence[str] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """One line for each thing that was undone. Idempotent; may go on beside runs and other cleanups.

    scan: looks also for our marks that no lease tells of: on this machine, on the proxies given, by default
    on the usual one. places: looks there too, see `places.searches`. tell: gets a line for each part of this
    machine that could not be looked at, and of a place that we may not look at.
    Raises BackendError with a line for each thing that could not be undone, and for each lease that could
    not be read; everything else is undone before. ChaosError for a place that is none.
    """
    wanted = searches(scan, proxy_apis, places)
    work = _Cleanup(store or LeaseStore(leases_folder(os.environ)))
    work.undo_leases()
    for search in wanted:
        work.search(search, tell)
    if work.failed:
        raise BackendError("\n".join([*dict.fromkeys(work.failed), *work.undone]))
    return work.undone


def undo_leases_of(run_id: str, store: LeaseStore, by: str) -> list[str]:
    """Takes over every lease of a run, due or not, and undoes it. Returns and raises as `cleanup` does."""
    work = _Cleanup(store, by)
    work.undo_leases(run_id)
    if work.failed:
        raise BackendError("\n".join([*work.failed, *work.undone]))
    return work.undone


@dataclass(frozen=True, slots=True)
class _Job:
    """told: where it was found, for people."""

    backend: Backend
    undo: Undo
    told: str
    lease: Lease | None = None

    @property
    def text(self) -> str:
        return redact_text(description(self.backend, self.undo))


class _Cleanup:
    def __init__(self, store: LeaseStore, by: str = "cleanup") -> None:
        self._store, self._backends, self._audit = store, Backends(), Audit(store, by)
        self.undone: list[str] = []
        self.failed: list[str] = []

    def undo_leases(self, run_id: str | None = None) -> None:
        """Of every run that is dead, and of those whose time is over; or all of one run."""
        self._store.sweep()
        leases, unreadable = self._store.read()
        self.failed += unreadable
        force = run_id is not None
        due = [lease for lease in leases if force or lease.is_due(boottime_s())]
        jobs = []
        for lease in sorted(
            due, key=lambda lease: lease.fault is None
        ):  # faults before what was made for them
            if run_id not in (None, lease.run_id):
                continue
            told = f"run {lease.run_id}, {lease.label}"
            try:
                mine = take(self._store, lease, force)
                if mine is not None:
                    jobs.append(_Job(self._backends.named(lease.undo["backend"]), mine.undo, told, mine))
            except (BackendError, LeaseError, ImportError) as error:
                self.failed.append(f"{error} ({told})")
        self._undo(jobs)

    def search(self, search: Search, tell: Callable[[str], None]) -> None:
        """Undoes what carries our mark at one place."""
        place = redact_text(search.place)
        try:
            backend = self._backends.named(search.family)
            found = self._found(backend, search.place, tell)
            alive = Alive(self._store, Claims(self._store))  # read after what was found: leases come first
        except ImportError as error:
            if search.asked:  # else: what cannot be loaded here has done nothing from here
                hint = f"pip install 'chaos-locust[{search.family}]'"
                self.failed.append(f"{place}: {error}; {hint}")
            return
        except (BackendError, LeaseError) as error:
            if search.asked:
                self.failed.append(f"{place}: {error}")
            elif search.place == "":
                tell(f"Not looked at: {search.family}: {error}")
            return
        told = f"at {place}, found by its mark" if place else "found by its mark"
        self._undo(_Job(backend, undo, told) for undo in map(alive.without, found) if undo is not None)

    @staticmethod
    def _found(backend: Backend, place: str, tell: Callable[[str], None]) -> Iterable[Undo]:
        """What we may not look at is no failure: it is told, and the rest counts."""
        try:
            return backend.scan(place)
        except PartlyLooked as error:
            tell(f"Not looked at: {backend.name}: {error}")
            return error.found

    def _undo(self, jobs: Iterable[_Job]) -> None:
        """Twice, some time apart: see SETTLE_S."""
        once = [job for job in jobs if self._try(job)]
        if once:
            time.sleep(SETTLE_S)
        for job in once:
            if not self._try(job):
                continue
            self.undone.append(f"undone: {job.text} ({job.told})")
            self._write(job, "reverted")
            try:
                if job.lease is not None:
                    self._store.remove(job.lease)
            except LeaseError as error:
                self.failed.append(f"{error} ({job.told})")

    def _try(self, job: _Job) -> bool:
        try:
            undo_once(job.backend, job.undo)
            return True
        except BackendError as error:
            self.failed.append(f"{redact_text(str(error))} ({job.told})")
            self._write(job, f"dirty: {error}")
            return False

    def _write(self, job: _Job, result: str) -> None:
        run_id, what = (job.lease.run_id, job.lease.label) if job.lease else ("", job.undo.get("mark", ""))
        self._audit.write(run_id, "revert", what, job.text, result)
