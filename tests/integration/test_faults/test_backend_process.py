"""Killing and pausing real processes, and refusing to touch others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.backends.base import Reading
from chaos_locust.backends.registry import Backends
from chaos_locust.errors import BackendError
from chaos_locust.plan.model import Plan

from .conftest import Load, ProxyServer, Victim, state_of


class Rig:
    def __init__(self, pidfile: Path, kind: str, api: str = "http://127.0.0.1:8474", **target: Any) -> None:
        lasting = {"for": "3s"} if kind == "pause" else {}
        fault = {"name": "it", "kind": kind, "target": "victim", "at": "1s", **lasting}
        targets = {"victim": {"pidfile": str(pidfile), **target}}
        data = {"name": "p", "proxy_api": api, "targets": targets, "faults": [fault]}
        self.plan = Plan.from_json(data)
        self.fault, self.target = self.plan.faults[0], self.plan.targets["victim"]
        self.backend = Backends().named("process")

    def prepare(self) -> dict[str, Any]:
        return self.backend.prepare("r1", self.plan, self.fault, self.target)

    def look(self, undo: dict[str, Any], times: int) -> list[Reading]:
        readings = []
        for _ in range(times):
            readings.append(self.backend.observe(self.fault, undo))
            time.sleep(0.1)
        return readings

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.backend.preflight(self.plan, self.fault, self.target)]


@pytest.mark.parametrize("used", [True, False])
def test_pause(victim: Victim, load: Callable[..., Load], used: bool) -> None:
    if used:
        load(victim.port, False)
    rig = Rig(victim.pidfile, "pause")
    assert rig.problems() == []
    undo = rig.prepare()
    before = rig.look(undo, 3)
    rig.backend.inject(rig.fault, undo)
    assert victim.state == "T"
    during = rig.look(undo, 12 if used else 4)
    effect = rig.backend.effect(rig.fault, before, during)
    assert (effect.mechanism, effect.use) == (True, used), effect
    assert "is stopped already" in rig.problems()[0]
    rig.backend.revert(undo)
    rig.backend.revert(undo)
    assert rig.backend.verify(undo)
    assert victim.state in ("S", "R")


@pytest.mark.parametrize("used", [True, False])
def test_kill(victim: Victim, load: Callable[..., Load], used: bool) -> None:
    if used:
        load(victim.port, False)
    rig = Rig(victim.pidfile, "kill")
    undo = rig.prepare()
    before = rig.look(undo, 4)
    rig.backend.inject(rig.fault, undo)
    assert state_of(victim.process.pid) in ("Z", "")
    effect = rig.backend.effect(rig.fault, before, rig.look(undo, 1))
    assert (effect.mechanism, effect.use) == (True, used), effect
    assert rig.backend.verify(undo), "there is nothing to undo"


def test_use_by_the_counters_of_the_proxy_before_it(
    proxy: ProxyServer, victim: Victim, load: Callable[..., Load]
) -> None:
    rig = Rig(victim.pidfile, "kill", proxy.url, proxy="front")
    port = proxy.make("front", victim.port)
    undo = rig.prepare()
    assert rig.backend.effect(rig.fault, rig.look(undo, 3), []).use is False
    load(port, False)
    effect = rig.backend.effect(rig.fault, rig.look(undo, 4), [])
    assert effect.use is True, effect


def test_the_process_is_the_one_of_the_moment(victim: Victim) -> None:
    rig = Rig(victim.pidfile, "kill")
    rig.prepare()
    first = victim.process
    first.kill()
    first.wait()
    victim.start()
    undo = rig.prepare()
    rig.backend.inject(rig.fault, undo)
    assert state_of(victim.process.pid) in ("Z", "")


def test_a_recycled_pid_is_never_touched(victim: Victim) -> None:
    rig = Rig(victim.pidfile, "pause")
    undo = rig.prepare()
    stranger = undo | {"process": undo["process"] | {"start_ticks": undo["process"]["start_ticks"] - 1}}
    with pytest.raises(BackendError, match="given to another"):
        rig.backend.inject(rig.fault, stranger)
    assert victim.state in ("S", "R")
    rig.backend.inject(rig.fault, undo)
    rig.backend.revert(stranger)
    assert victim.state == "T", "a process that was not paused for this undo is left alone"
    assert rig.backend.verify(stranger)
    earlier_boot = undo | {"process": undo["process"] | {"boot_id": "another"}}
    rig.backend.revert(earlier_boot)
    assert victim.state == "T"
    rig.backend.revert(undo)
    assert victim.state in ("S", "R")


def test_who_is_never_touched(tmp_path: Path, victim: Victim) -> None:
    pidfile = tmp_path / "pid"
    rig = Rig(pidfile, "pause")
    for text, words in (
        (None, "cannot be read"),
        ("", "not a pid"),
        ("many\n", "not a pid"),
        ("-1", "not a pid"),
        ("1", "the first process of this machine"),
        (str(os.getpid()), "this program or one that started it"),
        (str(os.getppid()), "this program or one that started it"),
    ):
        if text is not None:
            pidfile.write_text(text)
        (told,) = rig.problems()
        assert told.startswith("targets.victim: ")
        assert words in told
        with pytest.raises(BackendError):
            rig.prepare()
    victim.process.kill()
    victim.process.wait()
    pidfile.write_text(str(victim.process.pid))
    assert "no process has the pid" in rig.problems()[0]


def test_locust_is_never_touched(tmp_path: Path) -> None:
    script = tmp_path / "locust"
    script.write_text("import time; time.sleep(60)")
    worker = subprocess.Popen([sys.executable, str(script), "--worker"])
    try:
        (tmp_path / "pid").write_text(str(worker.pid))
        assert "is Locust" in Rig(tmp_path / "pid", "kill").problems()[0]
    finally:
        worker.kill()
        worker.wait()


def test_a_process_that_will_not_die_is_told(tmp_path: Path) -> None:
    code = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )
    stubborn = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    try:
        (tmp_path / "pid").write_text(str(stubborn.pid))
        rig = Rig(tmp_path / "pid", "kill")
        fault = rig.fault.model_copy(update={"signal": "TERM"})
        with pytest.raises(BackendError, match="lives on"):
            rig.backend.inject(fault, rig.prepare())
    finally:
        stubborn.kill()
        stubborn.wait()
