"""Locks on a table or row: held by one session, or taken again and again by short statements."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from chaos_locust.backends.base import MARK, Reading, Undo
from chaos_locust.backends.postgres.session import Server, Session
from chaos_locust.backends.postgres.way import Facts, Held, Sessions, Table, find_table, holding_settings
from chaos_locust.errors import BackendError
from chaos_locust.faults.postgres import PostgresLockRow, PostgresLockTable, PostgresSlowConnect

_READS = ("ACCESS SHARE",)
_CHANGES = ("ROW SHARE", "ROW EXCLUSIVE")
_TAKEN_S = 5.0
_LOOK_AGAIN_S = 0.01
_IS_TAKEN = (
    "SELECT 1 FROM pg_catalog.pg_locks WHERE pid = %s AND relation = %s::bigint::oid AND granted"
    " AND mode = 'AccessExclusiveLock'"
)
_BETWEEN_S = 0.001
"""The sessions that waited go on as soon as the lock is let go; nobody need be given time."""
LOGINS = "pg_catalog.pg_authid"


class TableLock(Sessions):
    """postgres_lock_table. Readings: granted, waiters: [pid, start of its statement] of others."""

    def problems(self, server: Server, session: Session, fault: PostgresLockTable) -> list[str]:
        table = _ordinary_table(session, fault.table)
        if session.one("SELECT pg_is_in_recovery()"):
            return ["the server is a standby, where only readers' locks are; give the URL of its primary"]
        rights = "SELECT" if fault.mode in _READS else "UPDATE, DELETE, TRUNCATE"
        return _right_problems(session, table, rights)

    def prepare(self, server: Server, session: Session, fault: PostgresLockTable) -> Facts:
        table = _ordinary_table(session, fault.table)
        return {"table": table.name, "oid": table.oid}

    def inject(self, server: Server, fault: PostgresLockTable, undo: Undo, held: Held) -> None:
        session = _holder(server, fault, undo, held)
        session.rows(f"LOCK TABLE {undo['table']} IN {fault.mode} MODE")

    def look(
        self, server: Server, session: Session, fault: PostgresLockTable, undo: Undo, held: Held
    ) -> Reading:
        mode = fault.mode.title().replace(" ", "") + "Lock"
        granted = session.one(
            "SELECT count(*) FROM pg_catalog.pg_locks l JOIN pg_stat_get_activity(NULL) a ON a.pid = l.pid"
            " WHERE a.application_name = %s AND l.relation = %s::bigint::oid AND l.mode = %s AND l.granted",
            undo["mark"],
            undo["oid"],
            mode,
        )
        return {"granted": granted > 0, "waiters": _waiters(session, undo["mark"])}


class RowLock(Sessions):
    """postgres_lock_row. Readings: granted (others cannot lock the row; None before), waiters."""

    def problems(self, server: Server, session: Session, fault: PostgresLockRow) -> list[str]:
        table = _ordinary_table(session, fault.table)
        if session.one("SELECT pg_is_in_recovery()"):
            return ["the server is a standby, where no row can be locked; give the URL of its primary"]
        if problems := _right_problems(session, table, "UPDATE"):
            return problems
        query = f"SELECT count(*) FROM (SELECT FROM {_where(session, table.name, fault)} LIMIT 2) found"
        found = session.one(query, str(fault.value))
        which = f"{fault.key} = {fault.value} in {fault.table}"
        if found == 0:
            return [f"there is no row with {which}"]
        return [f"more than one row has {which}; give a key that names one"] if found > 1 else []

    def prepare(self, server: Server, session: Session, fault: PostgresLockRow) -> Facts:
        return {"table": _ordinary_table(session, fault.table).name}

    def inject(self, server: Server, fault: PostgresLockRow, undo: Undo, held: Held) -> None:
        session = _holder(server, fault, undo, held)
        query = f"SELECT 1 FROM {_where(session, undo['table'], fault)} FOR UPDATE"
        if not session.rows(query, str(fault.value)):
            raise BackendError(f"there is no row with {fault.key} = {fault.value} in {fault.table} any more")

    def look(
        self, server: Server, session: Session, fault: PostgresLockRow, undo: Undo, held: Held
    ) -> Reading:
        granted = None
        if held.counts["holds"]:
            query = f"SELECT 1 FROM {_where(session, undo['table'], fault)} FOR UPDATE SKIP LOCKED"
            granted = not session.rows(query, str(fault.value))
        return {"granted": granted, "waiters": _waiters(session, undo["mark"])}


class Pulses(Sessions):
    """postgres_slow_queries and postgres_slow_connect. Readings, all from the first on: pulses, held_s: that
    the lock was held, waited: sessions that stood waiting at the end of a pulse, error."""

    def problems(self, server: Server, session: Session, fault: Any) -> list[str]:
        if session.one("SELECT pg_is_in_recovery()"):
            return ["the server is a standby, where no table can be locked; give the URL of its primary"]
        if isinstance(fault, PostgresSlowConnect):
            if session.is_superuser():
                return []
            return [f"only a superuser may lock the table of log-ins ({LOGINS}); connect as one"]
        return _right_problems(session, _ordinary_table(session, fault.table), "UPDATE, DELETE, TRUNCATE")

    def prepare(self, server: Server, session: Session, fault: Any) -> Facts:
        if isinstance(fault, PostgresSlowConnect):
            return {"table": LOGINS, "oid": find_table(session, LOGINS).oid}
        table = _ordinary_table(session, fault.table)
        return {"table": table.name, "oid": table.oid}

    def inject(self, server: Server, fault: Any, undo: Undo, held: Held) -> None:
        # One simple query is one transaction, which the server ends by itself, whatever becomes of us. When
        # the lock is not to be had for as long as it is to be held, it is let go: those who stand behind it
        # in the queue wait too.
        limit_ms = round(max(fault.delay_s, 0.05) * 1000)
        settings = {"lock_timeout": str(limit_ms), "statement_timeout": str(limit_ms + 5000)}
        pulse = (
            f"LOCK TABLE {undo['table']} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep({fault.delay_s!r});"
            " SELECT count(DISTINCT pid) FROM pg_catalog.pg_locks WHERE NOT granted AND locktype = 'relation'"
            f" AND relation = {undo['oid']}"
        )
        make = partial(server.session, undo["mark"], settings=settings)

        def step(session: Session) -> None:
            over = server.own.over
            (found,) = session.rows(pulse, limit_s=2 * fault.delay_s + 8.0)
            own = server.own.begun - over if undo["table"] == LOGINS else 0
            held.counts["pulses"] += 1
            held.counts["waited"] += max(0, found[0] - own)

        with server.session() as looking:
            first = make()
            held.repeat(make, step, _BETWEEN_S, first)
            deadline_s = time.monotonic() + _TAKEN_S
            while not looking.one(_IS_TAKEN, first.pid, undo["oid"]):
                if time.monotonic() > deadline_s or held.error:
                    raise BackendError(held.error or f"the lock on {undo['table']} is not to be had")
                time.sleep(_LOOK_AGAIN_S)

    def look(self, server: Server, session: Session, fault: Any, undo: Undo, held: Held) -> Reading:
        pulses = held.counts["pulses"]
        seen = {"pulses": pulses, "held_s": pulses * fault.delay_s, "waited": held.counts["waited"]}
        return {**seen, "error": held.error}


def _holder(server: Server, fault: Any, undo: Undo, held: Held) -> Session:
    with server.session() as looking:
        settings = holding_settings(fault, looking.version)
    session = held.keep(server.session(undo["mark"], settings=settings))
    session.rows("BEGIN")
    held.counts["holds"] += 1
    return session


def _where(session: Session, table: str, fault: PostgresLockRow) -> str:
    return f"{table} WHERE {session.name(fault.key)} = %s"


def _ordinary_table(session: Session, name: str) -> Table:
    table = find_table(session, name)
    if table.kind not in ("r", "p"):
        raise BackendError(f"{name} is no table")
    return table


def _right_problems(session: Session, table: Table, rights: str) -> list[str]:
    """One of the rights suffices."""
    if session.one("SELECT has_table_privilege(%s::bigint::oid, %s)", table.oid, rights):
        return []
    one = rights.replace(", ", " or ")
    return [f"the role has no right to lock {table.name} so; GRANT {one} ON it, or connect as its owner"]


def _waiters(session: Session, mark: str) -> list[list[float]]:
    found = session.rows(
        "WITH ours AS (SELECT array_agg(pid) AS pids FROM pg_stat_get_activity(NULL)"
        " WHERE application_name = %s),"
        " waiting AS (SELECT DISTINCT pid FROM pg_catalog.pg_locks WHERE NOT granted)"
        " SELECT w.pid, coalesce(extract(epoch FROM a.query_start)::float8, 0) FROM waiting w"
        " JOIN pg_stat_get_activity(NULL) a ON a.pid = w.pid, ours"
        " WHERE pg_blocking_pids(w.pid) && ours.pids"
        f" AND NOT starts_with(coalesce(a.application_name, ''), '{MARK}')",
        mark,
    )
    return [list(row) for row in found]
