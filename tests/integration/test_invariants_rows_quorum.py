"""Three PostgreSQL servers, two of which make a quorum: what is acknowledged is on two of them."""

from __future__ import annotations

import math
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

import chaos_locust
from invariants import NoAnswer, Refused
from invariants.checkers.elements import SetFull
from invariants.history import History, Operation, Outcome
from invariants.targets.sql import SqlElements, SqlElementsClient
from tests.servers.postgres import PostgresServer, running_postgres

from .test_faults.conftest import ProxyServer, until

PATIENT_S, HASTY_S = 20.0, 1.0
SETTINGS = """
ALTER SYSTEM SET synchronous_commit = 'remote_apply';
ALTER SYSTEM SET wal_retrieve_retry_interval = '200ms';
ALTER SYSTEM SET hot_standby_feedback = 'on'"""
LEDGER = """
SELECT count(*), md5(string_agg(element::text, ' ' ORDER BY element))
FROM chaos_locust_ledger.elements"""
FOLLOW = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
WAITS_FOR_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@dataclass
class Cluster:
    """A primary, and two standbys that follow it over a link each (`a`, `b`)."""

    primary: PostgresServer
    standbys: dict[str, PostgresServer]
    proxy: ProxyServer
    operations: list[Operation] = field(default_factory=list)
    next: int = 0

    def quorum(self, wanted: bool) -> None:
        """Whether a commit waits until one of the standbys has it."""
        names = "ANY 1 (*)" if wanted else ""
        self.primary.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'", self.primary.home)
        self.primary.ask("SELECT pg_reload_conf()", self.primary.home)
        until(lambda: self.primary.ask("SHOW synchronous_standby_names") == [(names,)], "it is set")

    def follow(self, many: int) -> None:
        until(lambda: self.primary.ask(FOLLOW) == [(many,)], f"{many} follow")

    def add(self, client: SqlElementsClient) -> tuple[Outcome, str]:
        """One more element; what was said of it, and why."""
        self.next += 1
        start_s, outcome, why = time.monotonic(), "ok", ""
        try:
            client.add(self.next)
        except Refused as refused:
            outcome, why = "fail", str(refused)
        except NoAnswer as silence:
            outcome, why = "info", str(silence)
        end_s = math.inf if outcome == "info" else time.monotonic()
        self._note("add", self.next, outcome, None, start_s, end_s)
        return outcome, why  # type: ignore[return-value]

    def read(self, url: str) -> list[int]:
        start_s = time.monotonic()
        client = SqlElements(url).connect("ledger")
        elements = client.read()
        client.close()
        self._note("read", None, "ok", elements, start_s, time.monotonic())
        return elements

    def equal(self) -> bool:
        """Whether the ledger is the same everywhere."""
        servers = [self.primary, *self.standbys.values()]
        try:
            return len({server.ask(LEDGER)[0] for server in servers}) == 1
        except psycopg.errors.UndefinedTable:  # one has not even heard of it yet
            return False

    def _note(self, kind: str, value: Any, outcome: Any, result: Any, start_s: float, end_s: float) -> None:
        process = f"{kind} {len(self.operations)}"
        self.operations.append(Operation(process, 0, kind, None, value, outcome, result, start_s, end_s))


@contextmanager
def following(primary: PostgresServer, link: int) -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="chaos-locust-standby-", ignore_cleanup_errors=True) as folder:
        standby = PostgresServer(Path(folder))
        standby.copy_of(SimpleNamespace(port=link))  # type: ignore[arg-type]
        try:
            standby.start()
            yield standby
        finally:
            standby.stop()


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    proxy = ProxyServer("embedded", "-proxy-metrics")
    try:
        with ExitStack() as running:
            primary = running.enter_context(running_postgres())
            for setting in SETTINGS.split(";"):
                primary.ask(setting, primary.home)
            links = {name: proxy.make(name, primary.port) for name in ("a", "b")}
            standbys = {name: running.enter_context(following(primary, link)) for name, link in links.items()}
            yield Cluster(primary, standbys, proxy)
    finally:
        proxy.kill()


@pytest.fixture
def cluster(servers: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """With an empty ledger that all of them have."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    servers.quorum(True)
    servers.follow(2)
    servers.operations.clear()
    client = ledger(servers)
    client.connected()
    client.close()
    until(servers.equal, "all have the ledger")
    yield servers
    servers.quorum(False)  # so that taking it away waits for nobody, whatever became of the test
    SqlElements(servers.primary.app).forget("ledger")


def ledger(cluster: Cluster, answer_s: float = PATIENT_S) -> SqlElementsClient:
    return SqlElements(cluster.primary.app, answer_limit_s=answer_s).connect("ledger")


def kill(server: PostgresServer) -> None:
    os.kill(int((server.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    server.stop()


@contextmanager
def cut_off(cluster: Cluster, *names: str) -> Iterator[None]:
    with ExitStack() as cuts:
        for name in names:
            targets = {"link": {"proxy": name}}
            cuts.enter_context(
                chaos_locust.inject("down", target="link", targets=targets, proxy_api=cluster.proxy.url)
            )
        cluster.follow(2 - len(names))
        yield


def test_with_one_of_three_dead_it_goes_on_and_without_a_quorum_it_says_so(cluster: Cluster) -> None:
    client = ledger(cluster)
    assert {cluster.add(client)[0] for _ in range(10)} == {"ok"}
    kill(cluster.standbys["b"])
    cluster.follow(1)
    assert {cluster.add(client)[0] for _ in range(10)} == {"ok"}
    with cut_off(cluster, "a", "b"), ThreadPoolExecutor(1) as pool:
        adding = pool.submit(cluster.add, ledger(cluster, HASTY_S))
        until(lambda: cluster.primary.ask(WAITS_FOR_OTHERS)[0][0] > 0, "the server tells what it waits for")
        outcome, why = adding.result()
        assert (outcome, "no answer to COMMIT" in why) == ("info", True)
    until(lambda: cluster.add(client)[0] == "ok", "one of the others is enough")
    cluster.standbys["b"].start()
    cluster.follow(2)
    assert {cluster.add(client)[0] for _ in range(10)} == {"ok"}
    until(cluster.equal, "it has caught up")
    for server in (cluster.primary, *cluster.standbys.values()):
        cluster.read(server.app)
    checked = SetFull().check(History(tuple(cluster.operations)))
    assert checked.passed, checked
    client.close()


@pytest.mark.parametrize("quorum", [True, False])
def test_a_primary_that_is_cut_off_from_all_others_acknowledges_nothing(
    cluster: Cluster, quorum: bool, record_property: Any
) -> None:
    """What it acknowledged would be gone if the others went on without it. One that does so is found."""
    cluster.quorum(quorum)
    client = ledger(cluster)
    assert {cluster.add(client)[0] for _ in range(3)} == {"ok"}
    until(cluster.equal, "the others have it")
    with cut_off(cluster, "a", "b"):
        cut_s = time.monotonic()
        outcomes = [cluster.add(ledger(cluster, HASTY_S))[0] for _ in range(3)]
        record_property("told after (s)", round((time.monotonic() - cut_s) / 3, 3))
        for standby in cluster.standbys.values():
            cluster.read(standby.app)
            with pytest.raises(Exception, match="read-only"):
                standby.ask("INSERT INTO chaos_locust_ledger.elements VALUES (-1)", standby.app)
        found = SetFull().check(History(tuple(cluster.operations))).violations
    assert outcomes == ["info" if quorum else "ok"] * 3
    assert [each.anomaly for each in found] == ([] if quorum else ["lost"] * 3)
    cluster.quorum(True)
    cluster.follow(2)
    assert cluster.add(client)[0] == "ok"
    until(cluster.equal, "the ledger is the same everywhere")
    acknowledged = {op.value for op in cluster.operations if op.kind == "add" and op.outcome == "ok"}
    assert acknowledged <= set(cluster.read(cluster.standbys["a"].app))
    client.close()
