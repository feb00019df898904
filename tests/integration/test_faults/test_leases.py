"""Leases are kept by heartbeats, pass from hand to hand, and keep two runs apart."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chaos_locust.leases.cleanup import cleanup
from chaos_locust.leases.store import LeaseStore, boottime_s

from .conftest import ROOT, ProxyServer, Run, state_of, until

COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
LONG_S = 300.0
QUICK = {"beat_every_s": 0.2, "silent_run_s": 2.0}


def plan_for(proxy: ProxyServer, target: str = "one") -> dict[str, Any]:
    slow = {"name": "slow", "kind": "latency", "target": "web", "latency": "50ms", "at": "1s", "for": "3s"}
    return {"name": "leases", "proxy_api": proxy.url, "targets": {"web": {"proxy": target}}, "faults": [slow]}


@pytest.fixture
def plan(embedded: ProxyServer, upstream: int) -> dict[str, Any]:
    for name in ("one", "two"):
        embedded.make(name, upstream)
    return plan_for(embedded)


def inject(run: Run, lease_s: float = LONG_S) -> Run:
    run.tell("inject", fault="slow", lease_s=lease_s)
    run.wait("active", "slow")
    return run


def command(run: Run, *arguments: str) -> subprocess.Popen[str]:
    """One of our commands, as somebody with this run's state folder."""
    environ = {**os.environ, "XDG_STATE_HOME": str(run.state), "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *arguments], env=environ, stdout=pipe, stderr=pipe, text=True)


def kill_both(run: Run) -> None:
    os.kill(run.process.pid, signal.SIGSTOP)  # so that it cannot see its guardian die
    run.kill_guardian()
    run.kill()


# -- heartbeats ------------------------------------------------------------------------------------------


def test_heartbeats_keep_a_long_fault(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run], store: LeaseStore
) -> None:
    run = inject(start_run(plan, patience=QUICK))
    begun_s = boottime_s()
    seen = set()

    def later() -> bool:
        (lease,) = store.read()[0]
        assert lease.deadline_s is not None
        assert lease.deadline_s < boottime_s() + 2.1, "it never promises more than the next heartbeats"
        seen.add(lease.generation)
        return lease.deadline_s > begun_s + 5.0

    until(later, "the lease is renewed")
    assert len(seen) > 3
    assert len(embedded.toxics()) == 1, "a run that lives keeps its fault"
    run.tell("close")
    assert run.wait("done")["clean"] is True


def test_a_frozen_run_loses_its_faults_and_is_told_why(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run]
) -> None:
    run = inject(start_run(plan, patience=QUICK))
    os.kill(run.process.pid, signal.SIGSTOP)
    until(lambda: not embedded.toxics(), "its fault is undone", 10)
    os.kill(run.process.pid, signal.SIGCONT)
    assert run.wait("revert_asked", "slow")["detail"] == "the run has not been heard of for 2 s"
    run.wait("reverted", "slow")
    run.tell("close")
    assert run.wait("done")["clean"] is True


def test_a_frozen_guardian_is_noticed_and_replaced(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run]
) -> None:
    run = inject(start_run(plan, patience={"beat_every_s": 0.2}))
    os.kill(run.guardian, signal.SIGSTOP)
    assert "5 heartbeats unanswered" in run.wait("note")["detail"]
    run.wait("guardian_lost")
    run.tell("recover")
    assert run.wait("done")["clean"] is True
    assert run.wait("reverted", "slow")
    assert embedded.toxics() == []
    assert run.leases() == []


def test_a_run_that_was_frozen_does_not_take_its_guardian_for_frozen(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run]
) -> None:
    run = inject(start_run(plan, patience={"beat_every_s": 0.2, "silent_run_s": 60.0}))
    os.kill(run.process.pid, signal.SIGSTOP)
    until(lambda: state_of(run.process.pid) == "T", "it stands still")
    time.sleep(2.5)  # longer than five heartbeats
    os.kill(run.process.pid, signal.SIGCONT)
    run.tell("revert", fault="slow")
    run.wait("reverted", "slow")
    run.tell("close")
    assert run.wait("done")["clean"] is True
    assert not [message for message in run.seen if message["event"] in ("note", "guardian_lost")]


def test_the_fault_of_a_frozen_run_without_guardian_is_cleaned_up(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run], store: LeaseStore
) -> None:
    run = inject(start_run(plan, patience=QUICK))
    os.kill(run.process.pid, signal.SIGSTOP)
    run.kill_guardian()
    (lease,) = store.read()[0]
    assert cleanup(scan=False, store=store) == [], "its run may still come back"
    until(lambda: lease.is_due(boottime_s()), "nobody has renewed it")
    assert len(cleanup(scan=False, store=store)) == 1
    assert embedded.toxics() == []


# -- from hand to hand -----------------------------------------------------------------------------------


def test_a_guardian_that_stands_still_is_ended_before_its_lease_is_undone(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run], store: LeaseStore
) -> None:
    run = inject(start_run(plan))
    os.kill(run.guardian, signal.SIGSTOP)
    run.kill()
    assert len(cleanup(scan=False, store=store)) == 1
    assert embedded.toxics() == []
    assert run.guardian_is_gone(), "it could have gone on with what it was at"


def test_a_run_whose_lease_was_undone_by_another_is_told(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run], store: LeaseStore
) -> None:
    run = inject(start_run(plan, patience=QUICK))
    (lease,) = store.read()[0]
    embedded.ask("DELETE", f"/proxies/one/toxics/{embedded.toxics()[0]}")
    store.remove(lease)
    assert run.wait("reverted", "slow")["detail"] == "another process undid it"
    run.tell("close")
    assert run.wait("done")["clean"] is True


def test_a_lease_that_vanished_does_not_keep_the_fault(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run], store: LeaseStore
) -> None:
    run = inject(start_run(plan, patience=QUICK))
    for path in store.folder.glob("*.json"):
        path.unlink()
    run.wait("reverted", "slow")
    assert embedded.toxics() == []


def test_two_cleanups_at_once(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run]
) -> None:
    run = inject(start_run(plan))
    kill_both(run)
    both = [command(run, "cleanup") for _ in range(2)]
    told = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert "".join(out for out, _ in told).count("undone: toxic") == 1
    assert embedded.toxics() == []
    assert run.leases() == []


def test_cleanup_beside_a_run_that_ends(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run]
) -> None:
    for lease_s in (LONG_S, 0.7, 0.7):  # at its end by command, and by its lease while it is cleaned up
        run = inject(start_run(plan), lease_s)
        process = command(run, "cleanup")
        if lease_s == LONG_S:
            run.tell("close")
        out, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (0, ""), out
        if lease_s != LONG_S:
            run.tell("close")
        assert run.wait("done")["clean"] is True
        assert embedded.toxics() == []
        assert run.leases() == []
        run.kill()


# -- two runs --------------------------------------------------------------------------------------------


def refusal(run_plan: dict[str, Any], folder: Path, state: Path) -> str:
    """What a run is told that does not start; empty when it would."""
    spec = folder / "spec.json"
    folder.mkdir()
    spec.write_text(json.dumps({"run_id": folder.name, "plan": run_plan, "folder": str(folder)}))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_process.py")), str(spec)],
        env={**os.environ, "XDG_STATE_HOME": str(state), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def test_two_runs_at_one_target(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run], tmp_path: Path
) -> None:
    first = inject(start_run(plan))
    renamed = plan | {"proxy_api": embedded.url.replace("127.0.0.1", "localhost")}
    told = refusal(renamed, tmp_path / "second", first.state)
    assert "targets.web: proxy 127.0.0.1:" in told
    assert f"is in the hands of run {first.folder.name} (process {first.process.pid}, " in told
    assert len(embedded.toxics()) == 1, "the run that was there first keeps its fault"

    other = inject(start_run(plan_for(embedded, "two")))
    assert len(embedded.toxics()) == 2, "two runs at different targets of one proxy"
    process = command(other, "cleanup")
    assert process.communicate(timeout=60) == ("Nothing to undo.\n", "")
    assert len(embedded.toxics()) == 2

    first.tell("close")
    assert first.wait("done")["clean"] is True
    assert refusal(plan, tmp_path / "third", first.state) == "", "the target is free again"


def test_a_target_that_a_dead_run_has_left_changed(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run], tmp_path: Path
) -> None:
    run = inject(start_run(plan))
    kill_both(run)
    told = refusal(plan, tmp_path / "second", run.state)
    assert "which is over; run chaos-locust cleanup first" in told
    process = command(run, "cleanup")
    assert process.wait(60) == 0
    assert refusal(plan, tmp_path / "third", run.state) == ""


def test_a_run_of_somebody_else_is_known_by_its_guardian(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run], tmp_path: Path
) -> None:
    run = inject(start_run(plan, run_id=f"run-{uuid4().hex}"))  # no other guardian here has this name
    left = {"name": "chaos-lost-slow-downstream", "type": "latency", "attributes": {"latency": 5}}
    embedded.ask("POST", "/proxies/two/toxics", left)
    theirs = LeaseStore(tmp_path / "elsewhere" / "leases")
    (line,) = cleanup(scan=False, places=[embedded.url], store=theirs)
    assert "chaos-lost-slow-downstream" in line
    assert len(embedded.toxics()) == 1, "what belongs to a living run is left alone"
    kill_both(run)
    until(run.guardian_is_gone, "it is dead")
    assert len(cleanup(scan=False, places=[embedded.url], store=theirs)) == 1
    assert embedded.toxics() == []


# -- what happens to machines ----------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The folder `state` of the runs, on a file system of one megabyte."""
    folder = tmp_path / "state"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system of its own")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * 4096)
        except OSError:
            return filler


def test_a_full_disk_keeps_a_fault_from_being_injected(
    embedded: ProxyServer, plan: dict[str, Any], small_disk: Path, start_run: Callable[..., Run]
) -> None:
    run = start_run(plan)
    filler = fill(small_disk)
    run.tell("inject", fault="slow", lease_s=LONG_S)
    assert "No space left on device" in run.wait("failed", "slow")["detail"]
    assert embedded.toxics() == []
    run.tell("close")
    assert run.wait("done")["clean"] is True
    fill(small_disk)
    assert "No space left on device" in refusal(plan, small_disk.parent / "second", small_disk)
    filler.unlink()
    assert run.leases() == []


def test_a_disk_that_fills_up_during_a_fault_does_not_keep_it(
    embedded: ProxyServer, plan: dict[str, Any], small_disk: Path, start_run: Callable[..., Run]
) -> None:
    run = inject(start_run(plan))
    fill(small_disk)
    kill_both(run)
    process = command(run, "cleanup")
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert out.startswith("undone: toxic")
    assert embedded.toxics() == []
    assert run.leases() == []


@pytest.mark.parametrize("jump_s", [86_400, -86_400])
def test_a_wall_clock_that_jumps_changes_no_lease(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run], tmp_path: Path, jump_s: int
) -> None:
    jumped = tmp_path / "jumped"
    code = (
        "import os, runpy, time; real = time.time;"
        f"time.time = lambda: real() + ({jump_s} if os.path.exists({str(jumped)!r}) else 0);"
        "runpy.run_module('chaos_locust.leases.guardian', run_name='__main__')"
    )
    run = inject(start_run(plan, program=[sys.executable, "-P", "-c", code]), lease_s=4.0)
    injected_s = time.monotonic()
    jumped.touch()
    time.sleep(1.0)  # several looks at the leases
    assert len(embedded.toxics()) == 1
    until(lambda: not embedded.toxics(), "its lease runs out", 10)
    assert time.monotonic() - injected_s > 3.0
    assert run.wait("revert_asked", "slow")["detail"] == "its lease ran out"
    assert abs(run.wait("reverted", "slow")["epoch_s"] - time.time() - jump_s) < 60, "the clock did jump"


def test_the_guardian_outlives_terminal_session_and_process_group(
    embedded: ProxyServer, plan: dict[str, Any], tmp_path: Path, start_run: Callable[..., Run]
) -> None:
    folder, state = tmp_path / "run-pty", tmp_path / "state"
    folder.mkdir()
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"run_id": "run-pty", "plan": plan, "folder": str(folder)}))
    control, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("run_process.py")), str(spec)],
        stdin=subprocess.PIPE,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "XDG_STATE_HOME": str(state), "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    os.close(terminal)
    assert process.stdin is not None
    process.stdin.write(json.dumps({"do": "inject", "fault": "slow", "lease_s": LONG_S}).encode() + b"\n")
    process.stdin.flush()
    until(embedded.toxics, "the fault acts")
    os.killpg(process.pid, signal.SIGKILL)
    os.close(control)  # the terminal is gone: its session is told to hang up
    process.wait()
    until(lambda: not embedded.toxics(), "the guardian undoes it", 10)
    until(lambda: not list(state.rglob("*.json")), "its lease is gone")
    states = [json.loads(line)["state"] for line in (folder / "guardian.jsonl").read_text().splitlines()]
    assert states[-1] == "reverted" or states[-2:] == ["reverted", "revert"]


def test_every_action_has_a_line_in_the_audit(
    embedded: ProxyServer, plan: dict[str, Any], start_run: Callable[..., Run]
) -> None:
    run = inject(start_run(plan))
    run.tell("close")
    run.wait("done")
    path = run.state / "chaos-locust" / "audit.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    toxic = f"toxic chaos-{run.folder.name}-slow-downstream on proxy one"
    assert [(line["action"], line["what"], line["on"], line["result"]) for line in lines] == [
        ("inject", "slow (latency)", f"web: {toxic}", "asked"),
        ("inject", "slow (latency)", f"web: {toxic}", "active"),
        ("revert", "slow (latency)", f"web: {toxic}", "reverted"),
    ]
    for line in lines:
        assert "@" in line["who"]
        assert line["by"] == "guardian"
        assert line["run_id"] == run.folder.name
        assert line["at"].startswith("20")
    kept = [json.loads(line) for line in (run.folder / "guardian.jsonl").read_text().splitlines()]
    assert [line["result"] for line in kept if line["kind"] == "audit"] == ["asked", "active", "reverted"]
