"""Nothing outlives its lease, whoever dies and whenever."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.errors import BackendError
from chaos_locust.leases.cleanup import cleanup
from chaos_locust.leases.store import LeaseStore

from .conftest import ProxyServer, Run, Victim, state_of, until

LEASE_S = 8.0
FAULTS = ("slow", "off", "stand")


def plan_for(proxy: ProxyServer, upstream: int, victim: Victim) -> dict[str, Any]:
    """Three faults of three ways to undo."""
    for name in ("one", "two"):
        proxy.make(name, upstream)
    targets = {"one": {"proxy": "one"}, "two": {"proxy": "two"}, "victim": {"pidfile": str(victim.pidfile)}}
    slow = {"name": "slow", "kind": "latency", "target": "one", "latency": "50ms", "direction": "both"}
    off = {"name": "off", "kind": "down", "target": "two"}
    stand = {"name": "stand", "kind": "pause", "target": "victim"}
    faults = [fault | {"at": "1s", "for": "3s"} for fault in (slow, off, stand)]
    return {"name": "deaths", "proxy_api": proxy.url, "targets": targets, "faults": faults}


def is_clean(proxy: ProxyServer, victim: Victim) -> bool:
    return not proxy.toxics() and proxy.all_enabled() and victim.state in ("S", "R", "D")


def inject_all(run: Run) -> None:
    for fault in FAULTS:
        run.tell("inject", fault=fault, lease_s=LEASE_S)


def confirm_all(run: Run) -> None:
    for fault in FAULTS:
        run.wait("active", fault)


@pytest.mark.parametrize("around", ["inject", "revert"])
def test_a_killed_run_leaves_nothing(
    proxy: ProxyServer, upstream: int, victim: Victim, start_run: Callable[..., Run], around: str
) -> None:
    plan = plan_for(proxy, upstream, victim)
    rng = random.Random(around)
    for _ in range(4):
        run = start_run(plan)
        inject_all(run)
        if around == "revert":
            confirm_all(run)
            for fault in FAULTS:
                run.tell("revert", fault=fault)
        time.sleep(rng.uniform(0, 0.02))
        run.kill()
        until(run.guardian_is_gone, "the guardian ends by itself", LEASE_S + 2)
        assert is_clean(proxy, victim)
        assert run.leases() == []
        last = dict(run.written())
        assert set(last.values()) <= {"reverted", "failed"}, run.written()


def test_a_killed_run_leaves_no_active_fault(
    proxy: ProxyServer, upstream: int, victim: Victim, start_run: Callable[..., Run]
) -> None:
    run = start_run(plan_for(proxy, upstream, victim))
    inject_all(run)
    confirm_all(run)
    assert len(proxy.toxics()) == 2
    assert not proxy.all_enabled()
    assert victim.state == "T"
    assert len(run.leases()) == 3
    run.kill()
    until(run.guardian_is_gone, "the guardian ends by itself", LEASE_S + 2)
    assert is_clean(proxy, victim)
    assert run.leases() == []
    assert dict(run.written()) == dict.fromkeys(FAULTS, "reverted")


def test_a_killed_guardian_is_replaced(
    proxy: ProxyServer, upstream: int, victim: Victim, start_run: Callable[..., Run]
) -> None:
    plan = plan_for(proxy, upstream, victim)
    rng = random.Random(3)
    for _ in range(4):
        run = start_run(plan)
        inject_all(run)
        time.sleep(rng.uniform(0, 0.02))
        run.kill_guardian()
        run.wait("guardian_lost")
        run.tell("recover")
        assert run.wait("done")["clean"] is True
        assert is_clean(proxy, victim)
        assert run.leases() == []


def test_cleanup_after_both_were_killed(
    proxy: ProxyServer, upstream: int, victim: Victim, start_run: Callable[..., Run], store: LeaseStore
) -> None:
    run = start_run(plan_for(proxy, upstream, victim))
    inject_all(run)
    confirm_all(run)
    assert cleanup(scan=False, store=store) == [], "the leases of a live run are left alone"
    assert len(proxy.toxics()) == 2
    assert victim.state == "T"

    os.kill(run.process.pid, signal.SIGSTOP)  # so that it cannot see its guardian die
    run.kill_guardian()
    run.kill()
    assert len(proxy.toxics()) == 2, "nobody was there to undo it"
    undone = cleanup(scan=False, store=store)
    assert len(undone) == 3, undone
    assert is_clean(proxy, victim)
    assert run.leases() == []
    assert cleanup(scan=False, store=store) == []


def test_damaged_leases_are_told_and_hide_no_other(
    embedded: ProxyServer, upstream: int, victim: Victim, start_run: Callable[..., Run], store: LeaseStore
) -> None:
    run = start_run(plan_for(embedded, upstream, victim))
    inject_all(run)
    confirm_all(run)
    os.kill(run.process.pid, signal.SIGSTOP)  # so that it cannot see its guardian die
    run.kill_guardian()
    run.kill()
    (store.folder / "a.fault.x.json").write_text('{"run_id": "a"')
    stand = store.folder / f"{run.folder.name}.fault.stand.json"
    damaged = json.loads(stand.read_text())
    damaged["undo"]["process"] = {}
    (store.folder / "b.fault.x.json").write_text(json.dumps(damaged | {"run_id": "b", "label": "fault.x"}))
    with pytest.raises(BackendError) as told:
        cleanup(scan=False, store=store)
    assert "a.fault.x.json cannot be read" in str(told.value)
    assert "something of the backend process could not be undone" in str(told.value)
    assert str(told.value).count("undone: ") == 3 + 1
    assert is_clean(embedded, victim)


def test_scan_finds_what_no_lease_tells_of(
    embedded: ProxyServer, upstream: int, victim: Victim, start_run: Callable[..., Run], store: LeaseStore
) -> None:
    embedded.make("other", upstream)
    left = {"name": "chaos-lost-slow-downstream", "type": "latency", "attributes": {"latency": 5}}
    embedded.ask("POST", "/proxies/other/toxics", left)
    embedded.ask("POST", "/proxies/other/toxics", left | {"name": "theirs"})
    run = start_run(plan_for(embedded, upstream, victim))
    inject_all(run)
    confirm_all(run)
    undone = cleanup(scan=False, places=[embedded.url], store=store)
    assert len(undone) == 1
    assert "chaos-lost-slow-downstream" in undone[0]
    assert "theirs" in embedded.toxics(), "what does not carry our mark is not ours"
    assert len(embedded.toxics()) == 3, "the toxics of a live run are left alone"


def test_a_descriptor_kept_by_a_child_of_the_run_does_not_hide_its_death(
    embedded: ProxyServer, upstream: int, victim: Victim, start_run: Callable[..., Run]
) -> None:
    run = start_run(plan_for(embedded, upstream, victim), fork=True)
    children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    (child,) = set(map(int, children)) - {run.guardian}
    inject_all(run)
    confirm_all(run)
    try:
        run.kill()
        until(run.guardian_is_gone, "the guardian ends by itself", LEASE_S + 2)
        assert is_clean(embedded, victim)
    finally:
        os.kill(child, signal.SIGKILL)


def test_signals_of_a_terminal_do_not_end_the_guardian(
    embedded: ProxyServer, upstream: int, victim: Victim, start_run: Callable[..., Run]
) -> None:
    run = start_run(plan_for(embedded, upstream, victim))
    inject_all(run)
    confirm_all(run)
    assert os.getsid(run.guardian) == run.guardian != os.getsid(run.process.pid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(run.guardian, number)
    run.tell("revert", fault="slow")
    run.wait("reverted", "slow")
    assert state_of(run.guardian) in ("S", "R")
    run.tell("close")
    assert run.wait("done")["clean"] is True
    assert is_clean(embedded, victim)


def test_a_lease_that_runs_out_is_undone_while_the_run_stands(
    embedded: ProxyServer, upstream: int, victim: Victim, start_run: Callable[..., Run]
) -> None:
    run = start_run(plan_for(embedded, upstream, victim))
    for fault in FAULTS:
        run.tell("inject", fault=fault, lease_s=1.0)
    confirm_all(run)
    os.kill(run.process.pid, signal.SIGSTOP)
    until(lambda: is_clean(embedded, victim), "the leases run out", 3.0)
    os.kill(run.process.pid, signal.SIGCONT)
    assert run.wait("revert_asked", "slow")["detail"] == "its lease ran out"


def test_a_proxy_that_died_cannot_be_verified(
    proxy: ProxyServer, upstream: int, victim: Victim, start_run: Callable[..., Run], store: LeaseStore
) -> None:
    run = start_run(plan_for(proxy, upstream, victim))
    for fault in FAULTS:
        run.tell("inject", fault=fault, lease_s=1.0)
    confirm_all(run)
    proxy.kill()
    run.tell("close")
    assert run.wait("done")["clean"] is False
    assert "does not answer" in run.wait("dirty", "slow")["detail"]
    assert "cannot verify that toxic chaos-" in run.wait("dirty", "slow")["detail"]
    assert run.wait("reverted", "stand"), "what can be undone is undone"
    assert len(run.leases()) == 2, "the leases stay for cleanup"
    run.kill()
    with pytest.raises(BackendError, match="cannot verify"):
        cleanup(scan=False, store=store)
    proxy.start()
    assert len(cleanup(scan=False, store=store)) == 2
    assert cleanup(scan=False, store=store) == []


def test_a_proxy_that_was_started_again_is_clean(
    proxy: ProxyServer, upstream: int, victim: Victim, start_run: Callable[..., Run]
) -> None:
    run = start_run(plan_for(proxy, upstream, victim))
    inject_all(run)
    confirm_all(run)
    proxy.kill()
    run.tell("revert", fault="slow")
    run.wait("revert_asked", "slow")
    proxy.start()
    run.wait("reverted", "slow")
    run.tell("close")
    assert run.wait("done")["clean"] is True
