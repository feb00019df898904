"""`chaos-locust abort` against real runs: one that obeys, and one that stands still."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .locust_processes import Locust
from .proxied_target import ProxiedTarget, wait_for

COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
LIMIT_S = 90


@pytest.fixture
def target() -> Iterator[ProxiedTarget]:
    with ProxiedTarget() as found:
        yield found


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}


def plan_of(target: ProxiedTarget) -> dict[str, Any]:
    slow = {"name": "slow", "kind": "latency", "target": "link", "latency": "40ms", "at": "4s", "for": "80s"}
    later = {**slow, "name": "later", "kind": "slicer", "size": "1KB", "at": "86s", "for": "2s"}
    del later["latency"]
    return target.plan(
        load=[{"step": "base", "rate": "40/s", "for": "90s"}],
        warm_up="1s",
        baseline="2s",
        steady_state=["error_rate < 90%"],
        faults=[slow, later],
        objectives=["error_rate < 50% during baseline"],
    )


def abort(environ: dict[str, str], *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [*COMMAND, "abort", *arguments], env=environ, capture_output=True, text=True, timeout=LIMIT_S
    )
    return done.returncode, done.stdout + done.stderr


def leases(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "state").rglob("*.json")]


def test_a_run_is_ended_and_its_report_written(
    tmp_path: Path, target: ProxiedTarget, environ: dict[str, str]
) -> None:
    with Locust(tmp_path, plan_of(target), environ=environ) as locust:
        wait_for(lambda: target.toxics() == ["latency"], "the fault acts")
        code, told = abort(environ, "no-such-run")
        assert code == 2
        assert "'no-such-run' is no run with faults that is alive; alive: " in told
        assert target.toxics() == ["latency"]
        code, told = abort(environ, str(locust.results))
        assert code == 0, told
        assert target.toxics() == []
        assert "was asked to end" in told
        assert "slow (latency), link: toxic " in told
        assert told.count(": reverted") == 1
        assert "is over; its report is in" in told
        assert locust.wait(LIMIT_S) == 4
        verdict = locust.verdict()
        assert verdict["outcome"] == "INCONCLUSIVE"
        assert (locust.results / "report.html").exists()
        journal = [json.loads(line) for line in (locust.results / "journal.jsonl").read_text().splitlines()]
        assert (journal[-1]["reason"], journal[-1]["detail"]) == ("interrupted", "SIGTERM")
    assert leases(tmp_path) == []
    assert abort(environ, "--all") == (0, "No run with faults is alive.\n")
    audit = (tmp_path / "state" / "chaos-locust" / "audit.jsonl").read_text().splitlines()
    (asked,) = (line for line in map(json.loads, audit) if line["by"] == "abort")
    assert (asked["action"], asked["result"]) == ("abort", "was asked to end")


def test_the_faults_of_a_run_that_stands_still_are_undone(
    tmp_path: Path, target: ProxiedTarget, environ: dict[str, str]
) -> None:
    with Locust(tmp_path, plan_of(target), environ=environ) as locust:
        wait_for(lambda: target.toxics() == ["latency"], "the fault acts")
        os.kill(locust.process.pid, signal.SIGSTOP)
        code, told = abort(environ, "--all")
        assert code == 0, told
        assert target.toxics() == []
        assert "does not react: its faults are undone by its leases" in told
        assert f"process {locust.process.pid} stands still, without faults; `kill -9" in told
        assert leases(tmp_path) == []
        os.kill(locust.process.pid, signal.SIGCONT)  # and what it finds then is told
        assert locust.wait(LIMIT_S) == 4, locust.output()
        assert target.toxics() == []


@pytest.mark.parametrize("arguments", [(), ("--all", "run-1")])
def test_either_a_run_or_all(environ: dict[str, str], arguments: tuple[str, ...]) -> None:
    code, told = abort(environ, *arguments)
    assert code == 2
    assert "give either a run, by its id or its results folder, or --all" in told
