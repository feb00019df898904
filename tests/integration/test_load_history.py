"""What users of a load run did is one history, and its checkers belong to the run's verdict.

Against a correct key-value server and one that forgets every 50th write that it acknowledged.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from invariants.history import Operation, read_history

from .locust_processes import Locust, finding
from .servers.keys import KeysServer
from .servers.timed import TimedServer

CLIENTS = """
import itertools, os, random
from locust import FastHttpUser, task
import chaos_locust
chaos_locust.register()

VALUES = itertools.count()

class Client(FastHttpUser):
    @task
    def write(self):
        key, value = random.choice("abcdefgh"), f"{os.getpid()}-{next(VALUES)}"
        with chaos_locust.operation("write", value, key):
            self.client.put(f"/{key}", json=value, name="/[key]")

    @task
    def read(self):
        key = random.choice("abcdefgh")
        with chaos_locust.operation("read", key=key) as op:
            op.result = self.client.get(f"/{key}", name="/[key]").json()
"""
VISITORS = """
from locust import FastHttpUser, task
import chaos_locust
chaos_locust.register()

class Visitor(FastHttpUser):
    @task
    def visit(self):
        with chaos_locust.operation("write", 1, "a"):
            self.client.get("/visit")
"""
NESTED = """
import chaos_locust
from locust import FastHttpUser, task
chaos_locust.register()

class Visitor(FastHttpUser):
    @task
    def visit(self):
        with chaos_locust.operation("write", 1, "a"), chaos_locust.operation("read", key="a"):
            self.client.get("/a")
"""
SKEWED = """
import time
import chaos_locust.locust_plugin.worker as worker

def skewed():
    began_s, base_s = time.monotonic(), time.time() + 3
    return lambda: base_s + 1.0002 * (time.monotonic() - began_s)

worker.epoch_clock = skewed
"""
RATE, LENGTH_S = 200, 4


def plan(host: str, *invariants: Any, length_s: int = LENGTH_S) -> dict[str, Any]:
    return {
        "name": "keys keep what was acknowledged",
        "host": host,
        "load": [{"step": "base", "rate": f"{RATE}/s", "for": f"{length_s}s"}],
        "warm_up": "1s",
        "baseline": "1s",
        "timeout": "1s",
        "invariants": list(invariants),
    }


def written(folder: Path, text: str) -> Path:
    path = folder / "locustfile.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("workers", [0, 2], ids=["local", "two workers"])
@pytest.mark.parametrize("loses", [0, 50], ids=["correct", "forgetful"])
def test_a_forgotten_write_is_told_and_nothing_else(tmp_path: Path, loses: int, workers: int) -> None:
    file = written(tmp_path, CLIENTS)
    with (
        KeysServer(loses) as server,
        Locust(tmp_path, plan(server.url, "linearizable"), file, workers=[file] * workers) as run,
    ):
        code, verdict = run.wait(), run.verdict()
    judged = finding(verdict, "linearizable")
    history = read_history(run.results / "history.jsonl")
    assert len(history) == judged["samples"] == verdict["totals"]["ok"] == RATE * LENGTH_S
    assert {op.process.rpartition(".")[0] for op in history} == workers_of(run, workers)
    assert all(op.widened_s > 0 for op in history)
    assert code == verdict["exit_code"] == (3 if loses else 0), judged["reason"]
    assert judged["outcome"] == ("DEVIATED" if loses else "UPHELD")
    if loses:
        assert "no order of the operations of" in judged["reason"]
        named = [str(op) for op in history if str(op) in judged["reason"]]
        assert any(": write " in text for text in named)
        assert any(": read " in text for text in named)
        (case,) = ET.parse(run.results / "junit.xml").findall(".//testcase[@classname='invariants']")
        assert "no order of the operations of" in str(case[0].get("message"))
        assert "no order of the operations of" in (run.results / "report.html").read_text()
    assert again(run.results) == (code, verdict)


def workers_of(run: Locust, workers: int) -> set[str]:
    if not workers:
        return {"local"}
    events = [json.loads(line) for line in (run.results / "journal.jsonl").read_text().splitlines()]
    names = {event["worker"] for event in events if event["kind"] == "clock"}
    assert len(names) == workers
    return names


def again(folder: Path) -> tuple[int, dict[str, Any]]:
    """What `chaos-locust report` makes of the same run."""
    program = "from chaos_locust.cli import main; main()"
    command = [sys.executable, "-c", program, "report", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode, json.loads((folder / "verdict.json").read_text())


def test_requests_that_fail_are_operations_without_an_answer(tmp_path: Path) -> None:
    """The server answers nothing from the 100th request on: those may or may not have happened."""
    file = written(tmp_path, VISITORS)
    with TimedServer(100, float("inf")) as server:
        given = plan(server.url, "session-guarantees", length_s=2)
        with Locust(tmp_path, given, file) as run:
            run.wait()
    history = read_history(run.results / "history.jsonl")
    outcomes = Counter(op.outcome for op in history)
    totals = run.verdict()["totals"]
    assert totals["unanswered"] + totals["failed"] > 100
    assert outcomes == {"ok": totals["ok"], "info": totals["failed"] + totals["unanswered"]}
    over: set[str] = set()
    for op in history:
        assert op.process not in over, "a process goes on after an operation without an answer"
        over |= {op.process} if op.outcome == "info" else set()


def test_a_lost_worker_leaves_nothing_upheld(tmp_path: Path) -> None:
    """And what it wrote last is no false alarm, though others read what nobody seems to have written."""
    file = written(tmp_path, CLIENTS)
    with (
        KeysServer() as server,
        Locust(tmp_path, plan(server.url, "linearizable", length_s=9), file, workers=[file] * 2) as run,
    ):
        history = until_written(run, 2 * RATE)
        os.kill(run.workers[0].pid, signal.SIGKILL)
        code, verdict = run.wait(), run.verdict()
    assert code == verdict["exit_code"] == 4
    judged = finding(verdict, "linearizable")
    assert judged["outcome"] == "INCONCLUSIVE"
    assert f":{run.workers[0].pid} did last is not known" in judged["reason"]
    assert len(read_history(history)) > 4 * RATE, "the other one went on"


def until_written(run: Locust, lines: int) -> Path:
    """The history's file, once it has so many lines."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in run.folder.glob("results/*/history.jsonl"):
            if path.read_bytes().count(b"\n") >= lines:
                return path
        time.sleep(0.05)
    raise AssertionError("no history was written")


def test_a_clock_that_is_ahead_and_drifts_is_no_false_alarm(tmp_path: Path) -> None:
    """3 s ahead, and 0.2 ms more each second: the greatest that is allowed for is 0.5 ms."""
    file, skewed = written(tmp_path, CLIENTS), tmp_path / "skewed.py"
    skewed.write_text(SKEWED + CLIENTS)
    with (
        KeysServer() as server,
        Locust(tmp_path, plan(server.url, "linearizable"), file, workers=[file, skewed]) as run,
    ):
        code, verdict = run.wait(), run.verdict()
    assert (code, finding(verdict, "linearizable")["outcome"]) == (0, "UPHELD"), verdict["sentence"]
    history = read_history(run.results / "history.jsonl")
    widest_s = dict.fromkeys((str(worker.pid) for worker in run.workers), 0.0)
    for op in history:
        pid = op.process.rpartition(":")[2].partition(".")[0]
        widest_s[pid] = max(widest_s[pid], op.widened_s)
        assert -2 < op.start_s < LENGTH_S + 1
    assert widest_s[str(run.workers[1].pid)] > 0.0002 * (LENGTH_S - 2), "its drift was noticed"


def test_two_open_operations_of_one_user_are_named(tmp_path: Path) -> None:
    file = written(tmp_path, NESTED)
    with KeysServer() as server, Locust(tmp_path, plan(server.url, "linearizable", length_s=2), file) as run:
        code, verdict = run.wait(), run.verdict()
    assert code == 4
    assert "two operations are open in one process: local." in finding(verdict, "linearizable")["reason"]


def test_unknown_checkers_and_options_are_refused_before_anything_starts(tmp_path: Path) -> None:
    file = written(tmp_path, CLIENTS)
    wrong = ["linearisable", {"check": "cache-consistency", "stale": 2}, {"check": "bank"}]
    with KeysServer() as server, Locust(tmp_path, plan(server.url, *wrong), file) as run:
        code = run.wait()
    told = run.output()
    assert code == 2
    assert "invariants[0]: 'linearisable' is no checker of load runs; did you mean linearizable?" in told
    assert "invariants[1].stale: '2' is a bare number" in told
    assert "invariants[2].total: is missing" in told
    assert not (tmp_path / "results").exists()


def test_a_load_without_invariants_writes_no_history(tmp_path: Path) -> None:
    file = written(tmp_path, CLIENTS)
    with KeysServer() as server:
        given = plan(server.url) | {"objectives": ["error_rate < 1% during run"]}
        del given["invariants"]
        with Locust(tmp_path, given, file) as run:
            assert run.wait() == 0
    assert not (run.results / "history.jsonl").exists()


def test_an_operation_is_one_line_of_the_history(tmp_path: Path) -> None:
    """It is what `invariants.history` reads and writes, but for the digits of the times."""
    file = written(tmp_path, CLIENTS)
    with KeysServer() as server, Locust(tmp_path, plan(server.url, "linearizable", length_s=2), file) as run:
        run.wait()
    lines = (run.results / "history.jsonl").read_text().splitlines()
    data = json.loads(lines[0])
    assert Operation.from_json(data).to_json() == data
