"""A load run with `invariants:` and real faults: what was lost is told with the fault in which it was lost.

Registers in a real PostgreSQL server, behind a link that is cut and, later, slow. The correct service says so
when its database does not answer; the careless one acknowledges writes meanwhile, and forgets them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.ports import free_port
from invariants.history import History, read_history
from tests.servers.postgres import PostgresServer, running_postgres

from .locust_processes import Locust, finding
from .mistakes import proxy_server
from .servers.registers import TABLE, RegistersServer

CLIENTS = """
import itertools, os, random
from locust import FastHttpUser, task
import chaos_locust
chaos_locust.register()

COUNT = itertools.count()
ACKNOWLEDGED = []

class Client(FastHttpUser):
    @task(2)
    def write(self):
        key = f"{os.getpid()}-{next(COUNT)}"
        with chaos_locust.operation("write", "mine", key):
            if self.client.put(f"/{key}", json="mine", name="/[key]").status_code == 200:
                ACKNOWLEDGED.append(key)

    @task(3)
    def read(self):
        if not ACKNOWLEDGED:
            return self.write()
        key = random.choice(ACKNOWLEDGED)
        with chaos_locust.operation("read", key=key) as op:
            response = self.client.get(f"/{key}", name="/[key]")
            if response.status_code == 200:
                op.result = response.json()
"""
OWN = """
from invariants.checkers.base import Checked, Violation

class EachIsThere:
    name = "each-is-there"

    def check(self, history):
        reads = [op for op in history.of("read") if op.happened]
        gone = [Violation(self.name, f"{op.key} is gone", (op,)) for op in reads if op.result is None]
        return Checked(tuple(gone), "" if reads else "nothing was read")
"""
CUT, SLOW = "cut-db", "slow-db"


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        server.ask(TABLE, server.app)
        yield server


def plan(host: str, api: str, upstream: int, listen: int) -> dict[str, Any]:
    return {
        "name": "registers keep what was acknowledged, also while the database is away",
        "host": host,
        "proxy_api": api,
        "targets": {"db": {"upstream": f"127.0.0.1:{upstream}", "listen": f"127.0.0.1:{listen}"}},
        "load": [{"step": "base", "rate": "40/s", "for": "15s"}],
        "warm_up": "1s",
        "baseline": "4s",
        "timeout": "2s",
        "steady_state": ["error_rate < 90%"],  # the second fault comes whatever the first one did
        "faults": [
            {"name": CUT, "kind": "down", "target": "db", "at": "6s", "for": "2s"},
            {"name": SLOW, "kind": "latency", "target": "db", "latency": "40ms", "at": "9s", "for": "3s"},
        ],
        "invariants": ["linearizable", "cache-consistency", "registers_own:EachIsThere"],
    }


@pytest.mark.parametrize("careless", [False, True], ids=["correct", "careless"])
def test_a_write_that_was_lost_is_told_with_its_fault(
    postgres: PostgresServer, tmp_path: Path, careless: bool
) -> None:
    file, listen = tmp_path / "locustfile.py", free_port()
    file.write_text(CLIENTS)
    (tmp_path / "registers_own.py").write_text(OWN)
    with (
        proxy_server("-proxy-metrics") as api,
        RegistersServer(f"postgresql://app@127.0.0.1:{listen}/shop", careless) as server,
        Locust(tmp_path, plan(server.url, api, postgres.port, listen), file, workers=[file] * 2) as run,
    ):
        code, verdict = run.wait(), run.verdict()
    told = [(each["text"], each["reason"]) for each in verdict["findings"] if each["outcome"] != "UPHELD"]
    assert code == verdict["exit_code"] == (3 if careless else 0), told
    history = read_history(run.results / "history.jsonl")
    spans = {fault["name"]: (fault["asked_s"], fault["reverted_s"]) for fault in verdict["faults"]}
    lost = lost_writes(history)
    assert bool(lost) == careless
    assert all(within(spans[CUT], span) for span in lost.values()), "the defect is there only while it is cut"
    late = [op for op in history if op.kind == "read" and op.happened and op.key in lost]
    for name in ("linearizable", "cache-consistency"):
        judged = finding(verdict, name)
        assert judged["outcome"] == ("DEVIATED" if careless else "UPHELD"), judged["reason"]
        assert judged["samples"] == len(history)
        if careless:
            assert f"], while {CUT} {spans[CUT][0]:.1f}-{spans[CUT][1]:.1f} s" in judged["reason"]
            count = len(lost) if name == "linearizable" else len(late)
            assert f"(of all {count}, {CUT} acted in {count}" in judged["reason"]
            shown = set(re.findall(r": write (\S+) ", judged["reason"]))
            assert shown, judged["reason"]
            assert shown <= set(lost)
            assert CUT in (run.results / "junit.xml").read_text()
    own = finding(verdict, "registers_own:EachIsThere")
    assert (own["outcome"], own["samples"]) == ("DEVIATED" if careless else "UPHELD", len(history))
    assert (" is gone [" in own["reason"]) == careless
    if careless:  # the later fault only where it acted on an operation, not wherever it came in between
        slowed = sum(within(spans[SLOW], (op.start_s, op.end_s)) for op in late)
        assert 0 < slowed < len(late)
        assert f", {SLOW} acted in {slowed})" in finding(verdict, "cache-consistency")["reason"]
    else:
        failed = [
            op for op in history if op.outcome == "info" and within(spans[CUT], (op.start_s, op.start_s))
        ]
        assert failed, "the fault was felt"


def lost_writes(history: History) -> dict[str, tuple[float, float]]:
    """Keys that were acknowledged and later read as never written, and when they were written."""
    gone = {op.key for op in history if op.kind == "read" and op.happened and op.result is None}
    return {
        str(op.key): (op.start_s, op.end_s)
        for op in history
        if op.kind == "write" and op.happened and op.key in gone
    }


def within(span: tuple[float, float], part: tuple[float, float]) -> bool:
    """It was at work in the span."""
    return part[0] <= span[1] and part[1] >= span[0]
