"""Cells of the PostgreSQL faults. Each has a server of its own; what acts is asked by plain SQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import psycopg

from tests.crash.cell import Case, Cell
from tests.servers.postgres import PostgresServer, running_postgres, running_standby

TABLE = """
CREATE TABLE items (id integer PRIMARY KEY, name text NOT NULL, price integer NOT NULL);
INSERT INTO items SELECT n, 'item ' || n, n % 100 FROM generate_series(1, 5000) n;
CREATE INDEX items_by_name ON items (name);
ANALYZE items"""
LEFT = """
SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname LIKE 'chaos%'
UNION ALL SELECT 'session ' || application_name FROM pg_stat_activity WHERE application_name LIKE 'chaos%'
UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE slot_name LIKE 'chaos%'
UNION ALL SELECT 'refuses ' || datname FROM pg_database WHERE NOT datallowconn AND datname <> 'template0'
UNION ALL SELECT 'invalid ' || indexrelid::regclass FROM pg_index WHERE NOT indisvalid
UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgname LIKE 'chaos%'
UNION ALL SELECT 'setting ' || array_to_string(setconfig, ' ') FROM pg_db_role_setting
UNION ALL SELECT 'setting ' || name || ' ' || setting FROM pg_file_settings
WHERE sourcefile LIKE '%auto.conf' AND name <> 'primary_conninfo'
UNION ALL SELECT 'locked ' || relation FROM pg_locks
WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL"""

NOTICES_S = 0.5
Ask = Callable[[PostgresServer], bool]


def left(server: PostgresServer) -> str:
    """The server needs a moment to end the sessions of a process that is gone."""
    give_up_s = time.monotonic() + NOTICES_S
    while (found := left_now(server)) and time.monotonic() < give_up_s:
        time.sleep(0.02)
    return found


def left_now(server: PostgresServer) -> str:
    try:
        found = server.ask(LEFT)
    except psycopg.OperationalError as error:
        return str(error)
    return ", ".join(sorted({str(row[0]) for row in found}))


def closed(server: PostgresServer) -> bool:
    """Whether the application gets no connection."""
    try:
        server.ask("SELECT 1", server.app)
    except psycopg.OperationalError:
        return True
    return False


def locked(table: str, server: PostgresServer) -> bool:
    """Whether somebody holds the table all but all the time."""
    query = (
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted"
        f" AND relation = '{table}'::regclass"
    )
    with psycopg.connect(
        server.home if table.startswith("pg_") else server.admin, autocommit=True
    ) as looking:
        for _ in range(5):
            row = looking.execute(query.encode()).fetchone()
            if row is not None and row[0]:
                return True
            time.sleep(0.01)
    return False


def fails(statement: str, sqlstate: str, server: PostgresServer) -> bool:
    try:
        server.ask(statement, server.app)
    except psycopg.Error as error:
        return error.sqlstate == sqlstate
    return False


def says(query: str, answer: str, server: PostgresServer) -> bool:
    return any(answer in str(row[0]) for row in server.ask(query))


def ends_sessions(server: PostgresServer) -> bool:
    """Whether a session of the application dies within a second and a half."""
    with psycopg.connect(server.app, autocommit=True) as session:
        deadline_s = time.monotonic() + 1.5
        try:
            while time.monotonic() < deadline_s:
                session.execute("SELECT 1")
                time.sleep(0.05)
        except psycopg.OperationalError:
            return True
    return False


FAULTS: dict[str, tuple[dict[str, Any], Ask]] = {
    "postgres_refuse_connections": ({}, closed),
    "postgres_unavailable": ({}, closed),
    "postgres_exhaust_connections": ({}, closed),
    "postgres_slow_connect": ({"delay": "500ms"}, partial(locked, "pg_authid")),
    "postgres_slow_queries": ({"table": "items", "delay": "500ms"}, partial(locked, "items")),
    "postgres_lock_table": (
        {"table": "items"},
        partial(fails, "SET lock_timeout = 50; SELECT count(*) FROM items", "55P03"),
    ),
    "postgres_lock_row": (
        {"table": "public.items", "key": "id", "value": 7},
        partial(fails, "SELECT * FROM items WHERE id = 7 FOR UPDATE NOWAIT", "55P03"),
    ),
    "postgres_terminate_backends": ({"every": "200ms", "user": "app"}, ends_sessions),
    "postgres_drop_index": (
        {"index": "items_by_name"},
        partial(says, "EXPLAIN SELECT * FROM items WHERE name = 'item 7'", "Seq Scan"),
    ),
    "postgres_work_mem": ({}, partial(says, "SHOW work_mem", "64kB")),
    "postgres_statement_timeout": ({"limit": "5ms"}, partial(says, "SHOW statement_timeout", "5ms")),
    "postgres_read_only": ({}, partial(fails, "UPDATE items SET price = 1 WHERE id = 1", "25006")),
    "postgres_serialization_failures": (
        {"table": "items", "share": "100%"},
        partial(fails, "UPDATE items SET price = 1 WHERE id = 1", "40001"),
    ),
}


def case_on(server: PostgresServer, kind: str) -> Case:
    """On a server that has the table."""
    parameters, acts = FAULTS[kind]
    return Case(
        targets={"db": {"postgres": server.admin}},
        fault={"kind": kind, "target": "db", **parameters},
        acting=partial(acts, server),
        left=partial(left, server),
    )


@contextmanager
def on_a_server(kind: str) -> Iterator[Case]:
    with running_postgres() as server:
        server.ask(TABLE, server.app)
        yield case_on(server, kind)


@contextmanager
def written_to(server: PostgresServer) -> Iterator[None]:
    """Something is written all the time meanwhile."""
    over = threading.Event()

    def write() -> None:
        with psycopg.connect(server.app, autocommit=True) as session:
            while not over.wait(0.05):
                session.execute("UPDATE items SET price = price + 1 WHERE id = 1")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


@contextmanager
def on_a_standby() -> Iterator[Case]:
    with running_postgres() as primary:
        primary.ask(TABLE, primary.app)
        with running_standby(primary) as standby, written_to(primary):
            yield Case(
                targets={"db": {"postgres": standby.admin}},
                fault={"kind": "postgres_replication_lag", "target": "db"},
                acting=partial(says, "SELECT pg_is_wal_replay_paused()", "True", standby),
                left=partial(left, standby),
            )


def cell(kind: str) -> Callable[[], AbstractContextManager[Case]]:
    return partial(on_a_server, kind)


CELLS: dict[str, Cell] = {
    **{kind: cell(kind) for kind in FAULTS},
    "postgres_replication_lag": on_a_standby,
}
