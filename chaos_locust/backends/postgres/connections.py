"""Connections to a PostgreSQL server: used up, ended, refused."""

from __future__ import annotations

import resource
import socket
import time
from functools import partial
from typing import Any

from chaos_locust.backends.base import Reading, Undo
from chaos_locust.backends.postgres.session import Server, Session
from chaos_locust.backends.postgres.way import (
    Facts,
    Held,
    Sessions,
    drop_schema,
    has_schema,
    holding_settings,
    make_schema,
    others,
    schema_problem,
)
from chaos_locust.errors import BackendError, ProbeError
from chaos_locust.faults.postgres import (
    PostgresExhaustConnections,
    PostgresTerminateBackends,
    PostgresUnavailable,
)
from chaos_locust.probes.port_use import PortUse
from chaos_locust.probes.sockets import is_listened_on

_FILL_EVERY_S = 0.2
_SWEEP_EVERY_S = 0.2
_ALL_GONE_S = 5.0
_FILLED_S = 5.0
_DESCRIPTORS_SPARED = 100
_FREE = (
    "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
    " - coalesce(current_setting('reserved_connections', true), '0')::int - count(*)"
    " FROM pg_stat_get_activity(NULL) WHERE backend_type = 'client backend'"
)
_ALLOWED = "SELECT datallowconn FROM pg_catalog.pg_database WHERE datname = %s"


class Exhaust(Sessions):
    """postgres_exhaust_connections. Readings: free (for ordinary roles), held, tries, sessions, error."""

    def __init__(self, ports: PortUse) -> None:
        self._ports = ports

    def problems(self, server: Server, session: Session, fault: PostgresExhaustConnections) -> list[str]:
        free = session.one(_FREE)
        if free <= fault.leave:
            return [f"only {free} connections are free already, and leave is {fault.leave}"]
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if free - fault.leave > soft - _DESCRIPTORS_SPARED:
            return [
                f"to hold {free - fault.leave} connections takes more open files than the limit of {soft}"
            ]
        return []

    def inject(self, server: Server, fault: PostgresExhaustConnections, undo: Undo, held: Held) -> None:
        first = server.session(undo["mark"])
        settings = holding_settings(fault, first.version)

        def fill(session: Session) -> None:
            for _ in range(session.one(_FREE) - fault.leave):
                held.keep(server.session(undo["mark"], settings=settings))
                held.counts["held"] += 1

        deadline_s = time.monotonic() + _FILLED_S
        while (free := first.one(_FREE)) > fault.leave:  # those of others come and go meanwhile
            if time.monotonic() > deadline_s:
                raise BackendError(f"{free} connections are still free")
            fill(first)
        held.repeat(lambda: server.session(undo["mark"]), fill, _FILL_EVERY_S, first)

    def look(
        self, server: Server, session: Session, fault: PostgresExhaustConnections, undo: Undo, held: Held
    ) -> Reading:
        query = "SELECT count(*) FROM pg_stat_get_activity(NULL) WHERE application_name = %s"
        seen = {"free": session.one(_FREE), "held": session.one(query, undo["mark"]), "error": held.error}
        return seen | _arrivals(server, session, self._ports)


class Terminate(Sessions):
    """postgres_terminate_backends. Readings: ended, busy: of these had work shortly before, survivors."""

    def problems(self, server: Server, session: Session, fault: PostgresTerminateBackends) -> list[str]:
        if fault.user is not None and not session.one(
            "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", fault.user
        ):
            return [f"there is no role {fault.user}"]
        may = (
            "SELECT rolsuper OR pg_has_role('pg_signal_backend', 'USAGE')"
            " OR coalesce(pg_has_role(%s, 'USAGE'), false)"
            " FROM pg_catalog.pg_roles WHERE rolname = current_user"
        )
        if session.one(may, fault.user):
            return []
        return [
            "the role may end nobody's sessions; GRANT pg_signal_backend TO it, or connect as a superuser"
        ]

    def inject(self, server: Server, fault: PostgresTerminateBackends, undo: Undo, held: Held) -> None:
        def step(session: Session) -> None:
            _end_others(session, server, fault, held)

        first = server.session(undo["mark"])
        step(first)
        held.repeat(lambda: server.session(undo["mark"]), step, fault.every_s, first)

    def look(
        self, server: Server, session: Session, fault: PostgresTerminateBackends, undo: Undo, held: Held
    ) -> Reading:
        return {**_ended(session, held), "error": held.error}


class Refuse:
    """postgres_refuse_connections and postgres_unavailable. Readings: allowed, refused: a connection of ours,
    tries, sessions, others: sessions still there, ended, busy."""

    from_home = True

    def __init__(self, ports: PortUse) -> None:
        self._ports = ports

    def problems(self, server: Server, session: Session, fault: Any) -> list[str]:
        with server.home() as home:
            problem = schema_problem(home)
            if problem is not None:
                return [problem]
            allowed, owns = home.rows(
                "SELECT datallowconn, pg_has_role(datdba, 'USAGE') FROM pg_catalog.pg_database"
                " WHERE datname = %s",
                server.database,
            )[0]
        if not allowed:
            return [f"the database {server.database} refuses connections already"]
        if not owns:
            return [
                f"the role does not own the database {server.database}; connect as its owner or a superuser"
            ]
        if isinstance(fault, PostgresUnavailable) and not session.is_superuser():
            return ["only a superuser may end the sessions of everybody; connect as one"]
        return []

    def prepare(self, server: Server, session: Session, fault: Any) -> Facts:
        with server.home() as home:
            return {"database": server.database, "home": home.database}

    def inject(self, server: Server, fault: Any, undo: Undo, held: Held) -> None:
        home = held.keep(server.session(undo["mark"], database=undo["home"]))
        name = home.name(undo["database"])
        if not home.one(_ALLOWED, undo["database"]):
            raise BackendError(f"the database {undo['database']} refuses connections already")
        with home.transaction():
            make_schema(home, undo)
            home.rows(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        if not _is_refused(server):
            raise BackendError(f"the database {undo['database']} still accepts connections")
        if isinstance(fault, PostgresUnavailable):
            deadline_s = time.monotonic() + _ALL_GONE_S
            while _end_others(home, server, fault, held):
                if time.monotonic() > deadline_s:
                    raise BackendError(f"sessions of the database {undo['database']} do not end")
                time.sleep(0.02)
            make = partial(server.session, undo["mark"], undo["home"])
            held.repeat(make, lambda session: _end_others(session, server, fault, held), _SWEEP_EVERY_S)

    def look(self, server: Server, session: Session, fault: Any, undo: Undo, held: Held) -> Reading:
        database = undo["database"]
        count = f"SELECT count(*) FROM pg_stat_get_activity(NULL) WHERE {_in_database()} AND {others()}"
        seen = {"allowed": session.one(_ALLOWED, database), "others": session.one(count, database)}
        refused = None if seen["allowed"] else _is_refused(server)
        seen |= _arrivals(server, session, self._ports) | _ended(session, held)
        return {**seen, "refused": refused}

    def revert(self, server: Server, undo: Undo) -> None:
        with server.session(database=undo["home"]) as home:
            if not has_schema(home, undo["mark"]):
                return
            there = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s"
            with home.transaction():
                if home.one(there, undo["database"]):
                    home.rows(f"ALTER DATABASE {home.name(undo['database'])} ALLOW_CONNECTIONS true")
                drop_schema(home, undo["mark"])

    def left(self, server: Server, session: Session, undo: Undo) -> bool:
        with server.session(database=undo["home"]) as home:
            return has_schema(home, undo["mark"])


def _is_refused(server: Server) -> bool:
    try:
        server.session().close()
    except BackendError:
        return True
    return False


def _end_others(session: Session, server: Server, fault: Any, held: Held) -> int:
    """Ends those that the fault is about, as far as they were drawn; how many."""
    busy = "(state <> 'idle' OR query_start > clock_timestamp() - interval '10 s') IS TRUE"
    columns = f"pid, extract(epoch FROM backend_start)::float8, {busy}, pg_terminate_backend(pid)"
    found = session.rows(_matching(session, columns, fault), *_filters(server, fault))
    for pid, start_s, was_busy, _ in found:
        if (pid, start_s) not in held.told:
            held.told.add((pid, start_s))
            held.counts["ended"] += 1
            held.counts["busy"] += bool(was_busy)
    return len(found)


def _matching(session: Session, columns: str, fault: Any) -> str:
    query = f"SELECT {columns} FROM pg_stat_get_activity(NULL) WHERE {_in_database()} AND {others()}"
    if not session.is_superuser():
        query += (
            " AND usesysid IN (SELECT oid FROM pg_catalog.pg_roles WHERE NOT rolsuper"
            " AND (pg_has_role('pg_signal_backend', 'USAGE') OR pg_has_role(oid, 'USAGE')))"
        )
    if isinstance(fault, PostgresTerminateBackends):
        if fault.user is not None:
            query += " AND usesysid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = %s)"
        if fault.application is not None:
            query += " AND application_name = %s"
        query += f" AND random() < {fault.share!r}"
    return query


def _filters(server: Server, fault: Any) -> list[str]:
    chosen = (fault.user, fault.application) if isinstance(fault, PostgresTerminateBackends) else ()
    return [server.database, *(value for value in chosen if value is not None)]


def _in_database() -> str:
    return "datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = %s)"


def _ended(session: Session, held: Held) -> Facts:
    """Of those that were told to end: how many, how many had work, how many are still there."""
    told = set(held.told)
    alive = session.rows(
        "SELECT pid, extract(epoch FROM backend_start)::float8 FROM pg_stat_get_activity(NULL)"
        " WHERE backend_type = 'client backend'"
    )
    survivors = len(told & {(pid, start_s) for pid, start_s in alive})
    return {"ended": held.counts["ended"], "busy": held.counts["busy"], "survivors": survivors}


def _arrivals(server: Server, session: Session, ports: PortUse) -> Facts:
    """tries: new connections of others to the server's port (None: it cannot be seen from here).
    sessions: those of others that came to be one, of all databases."""
    tries = None
    try:
        if _is_here(server.host) and is_listened_on(server.port):
            tries = ports.count(server.port).connections
    except ProbeError:
        pass
    sessions = None
    if session.version >= 14:
        every = session.one("SELECT sum(sessions)::bigint FROM pg_catalog.pg_stat_database")
        sessions = every - server.own.made
    return {"tries": tries, "sessions": sessions}


def _is_here(host: str) -> bool:
    """Whether the host is this machine: a socket can be bound to its address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as own:
            own.bind(address)
    except OSError:
        return False
    return True
