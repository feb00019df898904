"""Leases on disk, and when they may be undone."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from chaos_locust.backends.base import Undo
from chaos_locust.backends.state import leases_folder, state_problems
from chaos_locust.errors import BackendError, LeaseError
from chaos_locust.leases.store import Lease, LeaseStore
from chaos_locust.leases.undo import undo_once
from chaos_locust.probes.process import ProcessId, identify

UNDO: Undo = {"backend": "process", "action": "nothing", "process": {}, "pidfile": "x"}


def own() -> ProcessId:
    found = identify(os.getpid())
    assert found is not None
    return found


def lease(**changes: object) -> Lease:
    base = Lease("run-1", "fault.slow", own(), 100.0, UNDO)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_lease_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path / "a" / "b")
    store.save(lease())
    store.save(lease(deadline_s=200.0))
    store.save(lease(label="target.web", deadline_s=None))
    assert store.read() == ([lease(deadline_s=200.0), lease(label="target.web", deadline_s=None)], [])
    store.remove(lease())
    store.remove(lease())
    assert [each.label for each in store.read()[0]] == ["target.web"]


def test_when_it_is_due() -> None:
    assert not lease().is_due(99.0)
    assert lease().is_due(100.0)
    assert not lease(deadline_s=None).is_due(1e9), "for as long as the run lives"
    dead = replace(own(), start_ticks=own().start_ticks - 1)
    assert lease(owner=dead).is_due(0.0), "the pid is another process's now"
    assert lease(owner=replace(own(), boot_id="earlier")).is_due(0.0), "the machine was started again"


def test_drafts_of_dead_writers_are_swept(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path)
    mine, theirs = tmp_path / f".r.fault.x.json.{os.getpid()}", tmp_path / ".r.fault.x.json.4194305"
    mine.touch()
    theirs.touch()
    store.sweep()
    assert mine.exists()
    assert not theirs.exists()
    assert store.read() == ([], [])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "chaos-locust").write_text("a file in the way")
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert leases_folder(environ) == tmp_path / "chaos-locust" / "leases"
    (problem,) = state_problems(environ)
    assert "is not writable" in str(problem)
    with pytest.raises(LeaseError, match="cannot be written"):
        LeaseStore(leases_folder(environ)).save(lease())


def test_a_relative_state_home_is_ignored() -> None:
    assert leases_folder({"XDG_STATE_HOME": "x", "HOME": "/h"}) == Path("/h/.local/state/chaos-locust/leases")


class Broken:
    """A backend with a bug."""

    name = "broken"

    def revert(self, undo: Undo) -> None:
        raise KeyError("missing")

    def describe(self, undo: Undo) -> str:
        raise KeyError("another")


def test_a_bug_in_a_backend_counts_as_not_undone() -> None:
    with pytest.raises(BackendError, match="something of the backend broken could not be undone: KeyError"):
        undo_once(Broken(), UNDO)  # type: ignore[arg-type]
