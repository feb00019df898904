"""How a lease passes from hand to hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chaos_locust.leases import held
from chaos_locust.leases.held import Held, myself, take
from chaos_locust.leases.store import Lease, LeaseStore, boottime_s
from chaos_locust.probes.process import ProcessId, identify

UNDO = {"backend": "process"}


@pytest.fixture
def store(tmp_path: Path) -> LeaseStore:
    return LeaseStore(tmp_path)


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[bytes]]:
    """A process that could hold a lease, and ends when its input does."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


def dead() -> ProcessId:
    return replace(myself(), start_ticks=myself().start_ticks - 1)


def held_by(process: subprocess.Popen[bytes], owner: ProcessId, deadline_s: float = 0.0) -> Lease:
    found = identify(process.pid)
    assert found is not None
    return Lease("run-1", "fault.slow", owner, deadline_s, UNDO, holder=found)


class Clock:
    """Each look is a second later."""

    def __init__(self) -> None:
        self.now_s = boottime_s()

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "_LOOK_AGAIN_S", 0.0)


def test_the_lease_of_a_dead_holder_is_taken(store: LeaseStore) -> None:
    lease = store.save(Lease("run-1", "fault.slow", dead(), None, UNDO, holder=dead()))
    mine = take(store, lease)
    assert mine is not None
    assert (mine.holder, mine.generation) == (myself(), 2)
    assert not store.is_current(lease), "who had it before has it no more"
    assert take(store, lease) == mine, "it stays ours"


def test_what_is_not_due_is_not_taken(store: LeaseStore) -> None:
    lease = store.save(Lease("run-1", "fault.slow", myself(), boottime_s() + 99, UNDO, holder=dead()))
    assert take(store, lease) is None
    renewed = store.save(replace(lease, deadline_s=0.0))
    assert take(store, lease) is not None
    assert store.find(renewed) is not None


def test_a_guardian_at_work_is_waited_for(store: LeaseStore, holder: subprocess.Popen[bytes]) -> None:
    lease = store.save(held_by(holder, dead()))
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        if looks == 4:  # it is done with its work
            store.remove(lease)
        return boottime_s()

    assert take(store, lease, clock=clock) is None
    assert holder.poll() is None, "it was left alone"


def test_a_guardian_that_does_not_come_to_an_end_is_ended(
    store: LeaseStore, holder: subprocess.Popen[bytes]
) -> None:
    lease = store.save(held_by(holder, dead()))
    assert take(store, lease, clock=Clock()) is not None
    assert holder.wait(10) == -signal.SIGKILL


def test_the_guardian_of_a_living_run_is_not_ended(
    store: LeaseStore, holder: subprocess.Popen[bytes]
) -> None:
    """It has given up on this fault, and has others."""
    lease = store.save(held_by(holder, myself(), deadline_s=0.0))
    assert take(store, lease, clock=Clock()) is not None
    assert holder.poll() is None


@pytest.mark.parametrize("owner_lives", [True, False])
def test_a_holder_that_stands_still_is_ended_at_once(
    store: LeaseStore, holder: subprocess.Popen[bytes], owner_lives: bool
) -> None:
    lease = store.save(held_by(holder, myself() if owner_lives else dead()))
    os.kill(holder.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
    assert take(store, lease, clock=boottime_s) is not None
    assert holder.wait(10) == -signal.SIGKILL


def test_a_pid_of_another_process_is_never_killed(store: LeaseStore, holder: subprocess.Popen[bytes]) -> None:
    found = identify(holder.pid)
    assert found is not None
    held.end(replace(found, start_ticks=found.start_ticks - 1))
    assert holder.poll() is None


def test_a_held_lease_is_moved_when_it_must(store: LeaseStore) -> None:
    mine = Held(store, "run-1", "fault.slow", myself())
    assert not mine.promises(UNDO)
    now_s = boottime_s()
    mine.write(UNDO, now_s + 20)
    assert mine.promises(UNDO)
    assert not mine.promises({**UNDO, "more": 1})

    def on_disk() -> Lease:
        ((lease,), _) = store.read()
        return lease

    mine.renew(now_s + 22)
    assert on_disk().generation == 1, "not each heartbeat is written"
    mine.renew(now_s + 60)
    assert (on_disk().generation, on_disk().deadline_s) == (2, now_s + 60)
    mine.renew(now_s + 2)
    assert (on_disk().generation, on_disk().deadline_s) == (3, now_s + 2), "nearer at once"
    assert not mine.was_taken()
    assert take(store, on_disk(), force=True) == on_disk()
    store.save(replace(on_disk(), holder=dead()))
    assert mine.was_taken()
    assert not mine.promises(UNDO)
    mine.drop()
    assert not mine.was_taken()
    assert on_disk().generation == 4, "what is another's is not removed"
