"""A hundred who count, a value that came back, and what one to fifty at once get done over a slow link."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

import chaos_locust
from invariants import Refused
from invariants.checkers.counter import Counter
from invariants.history import History, Operation
from tests.servers.postgres import PostgresServer, running_postgres
from tests.servers.redis import Server
from tests.servers.redis import server as running

from . import redis_races as races
from .test_faults.conftest import ProxyServer

LIMIT_S = 60
WORKERS, EACH, AT_ONCE = 100, 1000, 50
SLOWER_S, WORK_S = 0.03, 0.25


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("valkey") as found:
        yield found


@pytest.mark.parametrize("atomic", [True, False])
def test_a_hundred_times_a_thousand_are_a_hundred_thousand(server: Server, atomic: bool) -> None:
    """Fifty commands are sent at a time, and the server takes those of all connections in turn.

    Planted: each reads what there is and writes one more.
    """
    key, together = f"counted-{atomic}", threading.Barrier(WORKERS)

    def count(worker: int) -> list[Operation]:
        done = []
        with server.client(LIMIT_S) as client:
            together.wait(LIMIT_S)
            for number in range(EACH // AT_ONCE):
                start_s = time.monotonic()
                if atomic:
                    pipeline = client.pipeline(transaction=False)
                    for _ in range(AT_ONCE):
                        pipeline.incr(key)
                    pipeline.execute()
                else:
                    client.set(key, int(client.get(key) or 0) + AT_ONCE)
                end_s = time.monotonic()
                done.append(Operation(str(worker), number, "add", None, AT_ONCE, "ok", None, start_s, end_s))
        return done

    with ThreadPoolExecutor(WORKERS) as pool:
        done = [operation for each in pool.map(count, range(WORKERS)) for operation in each]
    start_s = time.monotonic()
    with server.client() as client:
        total = int(client.get(key))
        client.delete(key)
    read = Operation("reader", 0, "total", None, None, "ok", total, start_s, time.monotonic())
    checked = Counter().check(History((*done, read)))
    assert sum(operation.value for operation in done) == 100_000
    assert (total == 100_000) is atomic
    assert {found.anomaly for found in checked.violations} == (set() if atomic else {"too little"})
    assert not checked.inconclusive


@pytest.mark.parametrize("by_value", [False, True])
def test_a_value_that_went_and_came_back_is_known_to_have_changed(server: Server, by_value: bool) -> None:
    target = races.Races(server.url, client=races.Record, twin=by_value)
    slow, quick = target.connect("aba"), target.connect("aba")
    assert isinstance(slow, races.Record)
    assert isinstance(quick, races.Record)
    value, based_on = slow.read()
    for changed in ("B", "A"):
        quick.put(changed, quick.read()[1])
    assert slow.read()[0] == value == "A"
    if by_value:
        slow.put("C", based_on)
        assert quick.read()[0] == "C", "it was not noticed"
    else:
        with pytest.raises(Refused, match="conflict"):
            slow.put("C", based_on)
        assert quick.read()[0] == "A"
    slow.close()
    quick.close()
    target.forget("aba")


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with running_postgres(max_connections=80) as found:
        yield found


class Level:
    """So many operations at once over a slow link, of which a client lets through only `at_most`.

    gauge: the most that were at work at once, as the server counted. took_s, failed: of the operations.
    """

    def __init__(self, database: PostgresServer, url: str, many: int, at_most: int) -> None:
        self._together, self._permits = threading.Barrier(many), threading.Semaphore(at_most)
        self._over, self.gauge = threading.Event(), 0
        looking = threading.Thread(target=self._look, args=(database,))
        looking.start()
        try:
            with ThreadPoolExecutor(many) as pool:
                each = list(pool.map(lambda _: self._operate(url), range(many)))
        finally:
            self._over.set()
            looking.join()
        self.took_s = sorted(took_s for took_s in each if took_s is not None)
        self.failed = each.count(None)
        self.per_s = many / self.took_s[-1]

    def _operate(self, url: str) -> float | None:
        with psycopg.connect(url, autocommit=True, application_name="level") as session:
            self._together.wait(LIMIT_S)
            begun_s = time.monotonic()
            try:
                with self._permits:
                    session.execute(b"SELECT pg_sleep(%s)", [WORK_S])
            except psycopg.OperationalError:
                return None
            return time.monotonic() - begun_s

    def _look(self, database: PostgresServer) -> None:
        active = (
            b"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'level' AND state = 'active'"
        )
        with psycopg.connect(database.admin, autocommit=True) as session:
            while not self._over.wait(0.02):
                row = session.execute(active).fetchone()
                assert row is not None
                self.gauge = max(self.gauge, row[0])


def test_one_to_fifty_at_once_over_a_slow_link_have_a_result_each(
    database: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    """Planted: a client that lets only twenty through is told by the gauge of the server."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    proxy = ProxyServer("embedded", "-proxy-metrics")
    try:
        url = f"postgresql://app@127.0.0.1:{proxy.make('database', database.port)}/shop"
        fault = {"target": "database", "targets": {"database": {"proxy": "database"}}, "proxy_api": proxy.url}
        with chaos_locust.inject("latency", latency=f"{SLOWER_S * 1000:.0f}ms", **fault):
            levels = {many: Level(database, url, many, many) for many in (1, 5, 10, 25, 50)}
            held_back = Level(database, url, 50, 20)
    finally:
        proxy.kill()
    for many, level in levels.items():
        told = {
            "gauge": level.gauge,
            "failed": level.failed,
            "per second": round(level.per_s, 1),
            "p50 and longest (s)": (level.took_s[many // 2], level.took_s[-1]),
        }
        record_property(f"{many} at once", told)
        assert (level.gauge, level.failed) == (many, 0)
        assert level.took_s[0] >= WORK_S + SLOWER_S, "the fault was met"
    assert levels[1].per_s < levels[10].per_s
    assert held_back.gauge == 20
