"""Many at once before one PostgreSQL: a pool that serves in turn, and rows that a hundred want to change."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import psycopg
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from invariants.checkers.counter import Counter
from invariants.checkers.exclusion import Exclusion, together, waits_s
from invariants.history import History, Operation
from tests.servers.postgres import PostgresServer, running_postgres

LIMIT_S = 60
UPDATERS = 100
UPDATED_S = 30.0
LOCK_LIMIT_S = 10  # who waits longer than that for a row is told so by the server, and fails the test
WAITING = """
SELECT count(*), coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0)::float8
FROM pg_locks WHERE NOT granted AND waitstart IS NOT NULL"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres(max_connections=140) as running:
        yield running


class NewestFirst:
    """The mistake: so many at a time, and of those who wait the last one that came is next."""

    def __init__(self, many: int) -> None:
        self._free, self._waiting = many, deque[asyncio.Future[None]]()

    async def __aenter__(self) -> None:
        if not self._free:
            self._waiting.append(asyncio.get_running_loop().create_future())
            await self._waiting[-1]
        else:
            self._free -= 1

    async def __aexit__(self, *_: object) -> None:
        if self._waiting:
            self._waiting.pop().set_result(None)
        else:
            self._free += 1


class Service:
    """A web service with a pool of connections before which requests stand in line; it logs each by its tag.

    A semaphore makes the line: asyncpg's pool by itself gives a connection to who comes just when it is free,
    and sends who waited for it to the end. in_flight: the most requests that were between their arrival and
    their answer, as the service counted; none is worked at before so many (`parties`) have come.
    One thread does all of it, and lets no request go first between the arrival of another and its place in
    the line: the order of the arrivals is that of the line.
    """

    def __init__(self, url: str, size: int, works_s: float, newest_first: bool, parties: int) -> None:
        self._url, self._size, self._works_s, self._parties = url, size, works_s, parties
        self._line: Any = NewestFirst(size) if newest_first else asyncio.Semaphore(size)
        self._now, self.in_flight, self._all_came = 0, 0, asyncio.Event()
        self.log: list[Operation] = []
        self.application = Starlette(routes=[Route("/query/{tag}", self._query)], lifespan=self._with_pool)

    @asynccontextmanager
    async def _with_pool(self, _: Starlette) -> AsyncIterator[None]:
        settings = {"application_name": "pool"}
        async with asyncpg.create_pool(
            self._url, min_size=self._size, max_size=self._size, server_settings=settings
        ) as self._pool:
            yield

    async def _query(self, request: Request) -> JSONResponse:
        tag = str(request.path_params["tag"])
        self._now += 1
        self.in_flight = max(self.in_flight, self._now)
        if self.in_flight == self._parties:
            self._all_came.set()
        start_s = time.monotonic()
        async with self._line, self._pool.acquire() as connection:
            from_s = time.monotonic()
            await asyncio.wait_for(self._all_came.wait(), LIMIT_S)
            answer = await connection.fetchval("SELECT $1::text FROM pg_sleep($2)", tag, self._works_s)
            until_s = time.monotonic()
        held = {"from_s": from_s, "until_s": until_s, "released": True}
        stood = {"arrived_s": start_s, "waiting_s": from_s}
        end_s = time.monotonic()
        self.log.append(Operation(tag, 0, "hold", None, None, "ok", {**held, **stood}, start_s, end_s))
        self._now -= 1
        return JSONResponse(answer)


@contextmanager
def serving(
    server: PostgresServer, size: int, works_s: float, newest_first: bool, parties: int
) -> Iterator[tuple[Service, int]]:
    """The service and its port."""
    service = Service(server.app, size, works_s, newest_first, parties)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        config = uvicorn.Config(service.application, log_level="warning", access_log=False, backlog=2048)
        web = uvicorn.Server(config)
        thread = threading.Thread(target=web.run, args=([listening],))
        thread.start()
        try:
            due_s = time.monotonic() + LIMIT_S
            while not web.started:
                assert thread.is_alive()
                assert time.monotonic() < due_s
                time.sleep(0.01)
            yield service, listening.getsockname()[1]
        finally:
            web.should_exit = True
            thread.join(LIMIT_S)


async def asked_at_once(port: int, many: int) -> list[tuple[int, Any]]:
    """(status, body) of so many requests, each over a connection of its own."""

    async def ask(tag: int) -> tuple[int, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /query/{tag} HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await asyncio.wait_for(reader.read(), LIMIT_S)).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), json.loads(body)

    return await asyncio.gather(*map(ask, range(many)))


class Looking:
    """What the server itself tells meanwhile, every few milliseconds."""

    def __init__(self, server: PostgresServer, query: str) -> None:
        self._server, self._query, self._over = server, query, threading.Event()
        self.seen: list[tuple[Any, ...]] = []
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Looking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        with psycopg.connect(self._server.admin, autocommit=True) as session:
            while not self._over.wait(0.02):
                self.seen += session.execute(self._query.encode()).fetchall()


@pytest.mark.parametrize("newest_first", [False, True])
def test_those_who_wait_for_a_connection_are_served_in_the_order_in_which_they_came(
    server: PostgresServer, newest_first: bool
) -> None:
    """One connection, so that one query ends after the other."""
    with serving(server, 1, 0.005, newest_first, 100) as (service, port):
        replies = asyncio.run(asked_at_once(port, 100))
    assert replies == [(200, str(tag)) for tag in range(100)]
    came = [op.process for op in sorted(service.log, key=lambda op: op.start_s)]
    left = [op.process for op in sorted(service.log, key=lambda op: op.end_s)]
    assert service.in_flight == 100
    assert (came == left) is not newest_first
    found = {
        each.anomaly for each in Exclusion(1, most_overtaken=0).check(History(tuple(service.log))).violations
    }
    assert found == ({"overtaken"} if newest_first else set())


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_thousand_queries_on_a_pool_of_twenty(
    server: PostgresServer, newest_first: bool, record_property: Any
) -> None:
    sessions = "SELECT count(*), count(*) FILTER (WHERE state = 'active') FROM pg_stat_activity"
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'shop'"
    before = server.ask(deadlocks)
    with (
        serving(server, 20, 0.05, newest_first, 1000) as (service, port),
        Looking(server, f"{sessions} WHERE application_name = 'pool'") as looking,
    ):
        begun_s = time.monotonic()
        replies = asyncio.run(asked_at_once(port, 1000))
        took_s = time.monotonic() - begun_s
    history = History(tuple(service.log))
    checked = Exclusion(20, most_overtaken=0).check(history)
    waits = sorted(waits_s(history))
    record_property("most in flight, by the service", service.in_flight)
    record_property("p50, p99, longest wait (s)", [round(waits[at], 3) for at in (500, 990, 999)])
    record_property("queries per second", round(1000 / took_s, 1))
    assert service.in_flight == 1000
    assert replies == [(200, str(tag)) for tag in range(1000)], "all were answered in the end"
    assert [max(column) for column in zip(*looking.seen, strict=True)] == [20, 20]
    assert max(map(len, together(history.of("hold")))) == 20
    assert server.ask(deadlocks) == before
    assert not checked.inconclusive
    assert {each.anomaly for each in checked.violations} == ({"overtaken"} if newest_first else set())


class Updater:
    """Adds one to one of five rows again and again. Twin: reads, and then writes."""

    def __init__(self, server: PostgresServer, number: int, twin: bool) -> None:
        self.number, self.twin, self.done = number, twin, list[Operation]()
        self.session = psycopg.connect(server.app, autocommit=True)
        self.session.execute(f"SET lock_timeout = '{LOCK_LIMIT_S}s'".encode())

    def run(self, together: threading.Barrier, lasts_s: float) -> None:
        rng = random.Random(self.number)
        together.wait(LIMIT_S)
        until_s = time.monotonic() + lasts_s
        while (start_s := time.monotonic()) < until_s:
            row = rng.randrange(5)
            self.add(row)
            end_s = time.monotonic()
            number = len(self.done)
            self.done.append(
                Operation(str(self.number), number, "add", str(row), 1, "ok", None, start_s, end_s)
            )

    def add(self, row: int) -> None:
        if self.twin:
            found = self.session.execute(b"SELECT amount FROM contended WHERE id = %s", [row]).fetchone()
            assert found is not None
            update = b"UPDATE contended SET amount = %s, version = version + 1 WHERE id = %s"
            self.session.execute(update, [found[0] + 1, row])
        else:
            update = b"UPDATE contended SET amount = amount + 1, version = version + 1 WHERE id = %s"
            self.session.execute(update, [row])


@pytest.mark.parametrize("twin", [False, True])
def test_a_hundred_change_the_same_rows_and_none_of_it_is_lost(
    server: PostgresServer, twin: bool, record_property: Any
) -> None:
    """Sum and version by the database, and how long who waited for whom by its own table of locks."""
    table = "CREATE TABLE contended AS SELECT n AS id, 0 AS amount, 0 AS version FROM generate_series(0, 4) n"
    server.ask(table, server.app)
    together, lasts_s = threading.Barrier(UPDATERS), 2.0 if twin else UPDATED_S
    updaters = [Updater(server, number, twin) for number in range(UPDATERS)]
    with Looking(server, WAITING) as looking, ThreadPoolExecutor(UPDATERS) as pool:
        for each in [pool.submit(updater.run, together, lasts_s) for updater in updaters]:
            each.result(LIMIT_S)
    begun_s = time.monotonic()
    rows = server.ask("SELECT id, amount, version FROM contended ORDER BY id", server.app)
    server.ask("DROP TABLE contended", server.app)
    totals = [
        Operation(f"reader {row}", 0, "total", str(row), None, "ok", amount, begun_s, time.monotonic())
        for row, amount, _ in rows
    ]
    for updater in updaters:
        updater.session.close()
    done = [op for updater in updaters for op in updater.done]
    checked = Counter().check(History((*done, *totals)))
    took_s = sorted(op.end_s - op.start_s for op in done)
    waiting, longest_s = zip(*looking.seen, strict=True)
    record_property("updates and updates per second", (len(done), round(len(done) / lasts_s)))
    record_property("waiting for a lock at once, mean and most", (sum(waiting) / len(waiting), max(waiting)))
    record_property("share of looks that found somebody waiting", sum(map(bool, waiting)) / len(waiting))
    record_property("longest wait for a lock (s)", round(max(longest_s), 3))
    record_property("p50, p95 of an update (s)", [took_s[int(at * len(took_s))] for at in (0.5, 0.95)])
    record_property("longest update (s)", took_s[-1])
    assert all(updater.done for updater in updaters), "everybody got something done"
    assert max(longest_s) < LOCK_LIMIT_S
    assert sum(version for _, _, version in rows) == len(done)
    if twin:  # what it loses shows that they met
        assert {each.anomaly for each in checked.violations} == {"too little"}
    else:
        assert max(waiting) > UPDATERS / 20, "they hardly met"
        assert checked.passed, checked
        assert [amount for _, amount, _ in rows] == [version for _, _, version in rows]
