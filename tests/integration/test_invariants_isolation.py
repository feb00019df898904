"""Isolation on a real PostgreSQL server: promises hold, the rest is seen, and a pool that lies is caught."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from chaos_locust.cli.app import run
from invariants.isolation.anomalies import INTERLEAVINGS
from invariants.isolation.load import ROUNDS, bank, lists, on_call
from invariants.isolation.measure import IsolationTable, measure
from invariants.isolation.promises import ANOMALIES, LEVELS, Level
from invariants.isolation.sessions import Isolated, sessions
from tests.servers.postgres import PostgresServer, running_postgres

RNG = random.Random(7)
# What the documentation says of each level, from table 13.1 and the text below it.
PREVENTED = {
    "read uncommitted": {"dirty write", "aborted read", "intermediate read"},
    "read committed": {"dirty write", "aborted read", "intermediate read"},
    "repeatable read": {anomaly.name for anomaly in ANOMALIES} - {"write skew", "predicate write skew"},
    "serializable": {anomaly.name for anomaly in ANOMALIES},
}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def table(server: PostgresServer) -> IsolationTable:
    return measure(Isolated(server.app), RNG)


class LyingPool(Isolated):
    """Says yes to serializable and hands out repeatable read, to repeatable read read committed."""

    def begin_at(self, connection: psycopg.Connection[Any], level: Level) -> None:
        super().begin_at(connection, LEVELS[max(LEVELS.index(level) - 1, 0)])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("anomaly", [anomaly.name for anomaly in ANOMALIES])
def test_each_level_prevents_what_is_promised_and_shows_what_is_not(
    table: IsolationTable, level: Level, anomaly: str
) -> None:
    cell = table.cell(level, anomaly)
    assert cell.promised == (anomaly in PREVENTED[level])
    assert cell.seen == (0 if cell.promised else cell.times)  # PostgreSQL prevents no more than it promises


def test_the_whole_is_upheld_and_nothing_of_it_is_left(table: IsolationTable, server: PostgresServer) -> None:
    assert table.outcome == "UPHELD"
    assert dict(table.said) == {level: level for level in LEVELS}
    assert "read uncommitted is treated as read committed, as documented" in table.sentences
    assert server.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'chaos%'") == []


def test_a_dirty_value_is_never_read(table: IsolationTable) -> None:
    for level in LEVELS:
        for anomaly in ("aborted read", "intermediate read"):
            cell = table.cell(level, anomaly)
            assert cell.seen == 0
            assert f"B: BEGIN, {level}" in cell.log
            assert not [line for line in cell.log if line.startswith("B: SELECT") and line.endswith("-> 101")]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_write_skew_is_seen_or_found_and_tried_again(server: PostgresServer, level: Level) -> None:
    target = Isolated(server.app)
    with sessions(target, ()):
        loaded = on_call(target, level, RNG)
    target.forget(target.scope)
    assert loaded.tries.committed == 2 * ROUNDS
    if level == "serializable":
        assert loaded.seen == {}
        # One of the two is given up in each round, at least; each succeeds when it is tried again.
        assert loaded.tries.conflicts >= ROUNDS
        assert loaded.tries.retried == loaded.tries.succeeded >= ROUNDS
    else:
        assert loaded.seen == {"write skew": ROUNDS}
        assert loaded.tries.conflicts == 0
    assert not loaded.impossible


@pytest.mark.parametrize("level", LEVELS)
def test_lists_and_accounts_under_concurrency(table: IsolationTable, level: Level) -> None:
    found = {load.work: load for load in table.loads if load.level == level}
    assert not found["lists"].impossible, "\n".join(found["lists"].evidence)
    assert not found["bank"].impossible, "\n".join(found["bank"].evidence)
    assert found["lists"].tries.committed == found["bank"].tries.committed == 240
    if level == "serializable":
        assert not found["lists"].seen
    if level in ("repeatable read", "serializable"):
        assert not found["bank"].seen
        assert found["bank"].tries.conflicts > 0
    else:
        assert found["bank"].seen["wrong total"]
        assert {"lost update", "G-single"} & set(found["lists"].seen)


def test_who_waits_is_seen_in_the_server(server: PostgresServer) -> None:
    target = Isolated(server.app)
    with sessions(target, ("A", "B")) as table:
        a, b = table.afresh()
        a.begin("read committed")
        b.begin("read committed")
        a.do("UPDATE items SET value = 11 WHERE id = 1")
        asked = b.ask("UPDATE items SET value = 12 WHERE id = 1")
        assert not asked.done()
        found = server.ask(
            "SELECT pid, state, wait_event_type, pg_blocking_pids(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'chaos_locust_isolation%' AND state <> 'idle' ORDER BY pid"
        )
        assert sorted(found) == sorted(
            [(a.pid, "idle in transaction", "Client", []), (b.pid, "active", "Lock", [a.pid])]
        )
        a.commit()
        assert b.wait(asked).conflict == ""
        b.commit()
        assert b.do("SELECT value FROM items WHERE id = 1").one == 12
    target.forget(target.scope)


def test_a_pool_that_gives_a_lower_level_is_caught(server: PostgresServer) -> None:
    table = measure(LyingPool(server.app), RNG, ["serializable"])
    assert table.outcome == "DEVIATED"
    assert {cell.anomaly.name for cell in table.cells if cell.broken} == {
        "write skew",
        "predicate write skew",
    }
    assert any("write skew was seen in 3 of 3 runs" in sentence for sentence in table.sentences)
    assert "serializable was asked for, and the server says repeatable read" in table.sentences
    # It is found under concurrency too, by those who know nothing of the interleavings.
    loads = {load.work: load for load in table.loads}
    assert loads["on call"].impossible == ("write skew",)
    assert loads["lists"].impossible == ("G2",)
    assert "txn" in loads["lists"].evidence[0]


def test_the_same_pool_is_caught_one_level_lower(server: PostgresServer) -> None:
    table = measure(LyingPool(server.app), RNG, ["repeatable read"])
    assert table.outcome == "DEVIATED"
    assert {cell.anomaly.name for cell in table.cells if cell.broken} == {
        "non-repeatable read",
        "phantom read",
        "lost update",
        "read skew",
    }
    assert {load.work for load in table.loads if load.impossible} >= {"bank"}


@pytest.mark.parametrize("work", [lists, bank])
def test_two_at_once_do_not_meet(server: PostgresServer, work: Any) -> None:
    """Each has a schema of its own."""
    results = []

    def one() -> None:
        target = Isolated(server.app)
        with sessions(target, ()):
            results.append(work(target, "serializable", random.Random(1)))
        target.forget(target.scope)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(each.impossible, each.tries.committed) for each in results] == [((), 240)] * 2


def test_every_anomaly_has_an_interleaving() -> None:
    assert list(INTERLEAVINGS) == [anomaly.name for anomaly in ANOMALIES]


def test_the_command(server: PostgresServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = server.app.replace("app@", "app:geheim@")
    assert run(["invariants", "isolation", url, "--output", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "allowed, seen 3 of 3" in told
    assert told.splitlines()[-1] == "UPHELD"
    data = json.loads((tmp_path / "out" / "isolation.json").read_text())
    assert data["outcome"] == "UPHELD"
    assert len(data["cells"]) == len(LEVELS) * len(ANOMALIES)
    page = (tmp_path / "out" / "isolation.html").read_text()
    assert page.count("<td class=") == len(LEVELS) * len(ANOMALIES)
    assert "geheim" not in told + page + json.dumps(data)


def test_a_server_that_is_not_there_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "geheim"
    assert run(["invariants", "isolation", f"postgresql://app:{secret}@127.0.0.1:1/shop"]) == 4
    assert run(["invariants", "isolation", "mysql://127.0.0.1/shop"]) == 2
    told = capsys.readouterr().err
    assert "nothing can be said: postgresql://app@127.0.0.1:1/shop does not answer" in told
    assert "url 'mysql://127.0.0.1/shop' is not allowed; give postgresql://... or postgres://..." in told
    assert secret not in told
