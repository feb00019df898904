"""Leases on disk, and when they may be undone."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest

from chaos_locust.backends.base import Undo
from chaos_locust.backends.state import leases_folder, state_problems
from chaos_locust.errors import BackendError, LeaseError
from chaos_locust.leases.store import Lease, LeaseStore, Superseded
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
    first = store.save(lease())
    second = store.save(replace(first, deadline_s=200.0))
    made = store.save(lease(label="target.web", deadline_s=None))
    assert (first.generation, second.generation, made.generation) == (1, 2, 1)
    assert store.read() == ([second, made], [])
    assert replace(second, generation=0, space="") == lease(deadline_s=200.0)
    store.remove(second)
    store.remove(second)
    assert store.read() == ([made], [])


def test_an_older_generation_neither_writes_nor_removes(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path)
    old = store.save(lease())
    new = store.save(old)
    assert not store.is_current(old)
    assert store.is_current(new)
    with pytest.raises(Superseded, match="taken over"):
        store.save(replace(old, undo={"backend": "process", "other": 1}))
    with pytest.raises(Superseded, match="taken over"):
        store.remove(old)
    with pytest.raises(Superseded, match="there already"):
        store.save(lease())
    assert store.read() == ([new], [])
    store.remove(new)
    with pytest.raises(Superseded, match="is gone"):
        store.save(new)
    assert store.read() == ([], []), "what was undone does not come back"
    assert list(tmp_path.iterdir()) == [], "no draft is left"


def test_a_lock_that_is_held_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos_locust.leases.store.LOCK_LIMIT_S", 0.0)
    store = LeaseStore(tmp_path)
    mine = store.save(lease())
    with (tmp_path / "run-1.fault.slow.json").open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(LeaseError, match="stands still"):
            store.remove(mine)
    store.remove(mine)


def test_a_damaged_lease_is_told_and_still_its_holders(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path)
    mine = store.save(lease())
    for damage in ("", "{", "[]", '{"undo": 1}', "\0"):
        (tmp_path / "run-1.fault.slow.json").write_text(damage)
        (line,) = store.read()[1]
        assert "run-1.fault.slow.json cannot be read" in line
        assert "remove it" in line
        assert store.is_current(mine), "whoever knows how to undo it goes on"
    store.remove(mine)
    assert not store.is_there("run-1", "fault.slow")


def test_when_it_is_due() -> None:
    assert not lease().is_due(99.0)
    assert lease().is_due(100.0)
    assert not lease(deadline_s=None).is_due(1e9), "for as long as the run lives"
    dead = replace(own(), start_ticks=own().start_ticks - 1)
    assert lease(owner=dead).is_due(0.0), "the pid is another process's now"
    assert lease(owner=replace(own(), boot_id="earlier")).is_due(0.0), "the machine was started again"
    elsewhere = lease(owner=dead, space="pid:[1]")
    assert not elsewhere.is_due(99.0), "the pids of another container say nothing here"
    assert elsewhere.is_due(100.0)


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
