"""Faults on a PostgreSQL server, by its own protocol.

What is held is held by sessions of this process, so that it ends with it; what is changed is told by a marked
schema in the database that it was changed in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from chaos_locust.backends.base import MARK, Effect, Reading, Undo, mark
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.backends.postgres.catalog import Index, Trigger
from chaos_locust.backends.postgres.connections import Exhaust, Refuse, Terminate
from chaos_locust.backends.postgres.effect import postgres_effect
from chaos_locust.backends.postgres.locks import Pulses, RowLock, TableLock
from chaos_locust.backends.postgres.replay import Replay, marked_slots, slot_name
from chaos_locust.backends.postgres.session import OURS, OwnConnections, Server, Session
from chaos_locust.backends.postgres.settings import Settings
from chaos_locust.backends.postgres.way import (
    Held,
    Sessions,
    Way,
    end_sessions,
    marked_schemas,
    marked_sessions,
)
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target

OLDEST = 13
_LONGEST_NAME = 63

_WAY_OF = {
    "postgres_refuse_connections": "refuse",
    "postgres_unavailable": "refuse",
    "postgres_exhaust_connections": "exhaust",
    "postgres_slow_connect": "pulses",
    "postgres_slow_queries": "pulses",
    "postgres_lock_table": "table lock",
    "postgres_lock_row": "row lock",
    "postgres_terminate_backends": "terminate",
    "postgres_drop_index": "index",
    "postgres_work_mem": "settings",
    "postgres_statement_timeout": "settings",
    "postgres_read_only": "settings",
    "postgres_serialization_failures": "trigger",
    "postgres_replication_lag": "replay",
}


class _Left(Sessions):
    """Sessions that were found by their mark: nobody knows what fault they were of."""


class PostgresBackend:
    """An Undo: {backend, way, url, mark, ...facts of the way}. The URL may hold a password."""

    name = "postgres"

    def __init__(self, watch: LinkWatch) -> None:
        self._own = OwnConnections(watch.ports.add_own)
        self._ways: dict[str, Way] = {
            "refuse": Refuse(watch.ports),
            "exhaust": Exhaust(watch.ports),
            "pulses": Pulses(),
            "table lock": TableLock(),
            "row lock": RowLock(),
            "terminate": Terminate(),
            "index": Index(),
            "settings": Settings(),
            "trigger": Trigger(),
            "replay": Replay(),
        }
        self._held: dict[str, Held] = {}
        self._observers: dict[str, Session] = {}
        self._over: set[str] = set()
        self._lock = threading.Lock()

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        place = f"targets.{target.name}"
        if target.postgres is None:
            return [Problem(place, f"gives no server; a {fault.kind} needs postgres")]
        try:
            server = Server(target.postgres, self._own)
            with server.session() as session:
                if session.version < OLDEST:
                    return [Problem(place, f"is PostgreSQL {session.version}; faults need {OLDEST} or newer")]
                found = self._ways[_WAY_OF[fault.kind]].problems(server, session, fault)
        except BackendError as error:
            found = [str(error)]
        return [Problem(f"{place}.postgres", f"{fault.name} ({fault.kind}): {text}") for text in found]

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        return None

    def build(self, undo: Undo, target: Target) -> None:
        raise BackendError("nothing is made for a PostgreSQL server")

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        if target.postgres is None:
            raise BackendError(f"target {target.name} gives no PostgreSQL server")
        way = _WAY_OF[fault.kind]
        undo = {"backend": self.name, "way": way, "url": target.postgres, "kind": fault.kind}
        undo["mark"] = mark(run_id, fault.name, longest=_LONGEST_NAME)
        if way == "replay":
            undo["mark"] = slot_name(undo)
        server = Server(target.postgres, self._own)
        with server.anywhere() as session:
            return undo | self._ways[way].prepare(server, session, fault)

    def inject(self, fault: Fault, undo: Undo) -> None:
        server = Server(undo["url"], self._own)
        with self._lock:
            held = self._held.setdefault(undo["mark"], Held())
        self._ways[undo["way"]].inject(server, fault, undo, held)

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        raise BackendError(f"a {fault.kind} does not change with time")

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        reading: Reading = {"at_s": time.monotonic(), "error": ""}
        way = self._ways[undo["way"]]
        with self._lock:
            held = self._held.get(undo["mark"]) or Held()
            session = self._observers.pop(undo["mark"], None)
        try:
            server = Server(undo["url"], self._own)
            session = session or (server.home() if way.from_home else server.session())
            reading = {**way.look(server, session, fault, undo, held), **reading}
            with self._lock:
                if undo["mark"] not in self._over:
                    self._observers[undo["mark"]] = session
                    session = None
            if session is not None:  # it was undone meanwhile, and nobody will look again
                session.close()
        except BackendError as error:
            reading["error"] = str(error)
            if session is not None:
                session.close()
        return reading

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return postgres_effect(fault, before, during)

    def revert(self, undo: Undo) -> None:
        with self._lock:
            held = self._held.pop(undo["mark"], None)
            observer = self._observers.pop(undo["mark"], None)
            self._over.add(undo["mark"])
        if held is not None:
            held.release()
        if observer is not None:
            observer.close()
        server = Server(undo["url"], self._own)
        with server.anywhere() as session:
            end_sessions(session, undo["mark"])
        self._way_of(undo).revert(server, undo)

    def verify(self, undo: Undo) -> bool:
        server = Server(undo["url"], self._own)
        with server.anywhere() as session:
            if marked_sessions(session, undo["mark"]):
                return False
            return not self._way_of(undo).left(server, session, undo)

    def describe(self, undo: Undo) -> str:
        what = str(undo.get("kind", "sessions of a fault")).replace("_", " ")
        return f"{what} ({undo['mark']})"

    def scan(self, place: str) -> list[Undo]:
        """At the URL of a server; this machine as such shows no databases."""
        if not place.startswith(("postgres://", "postgresql://")):
            return []
        server, found = Server(place, self._own), dict[str, Undo]()
        with server.anywhere() as session:
            names = session.rows(
                "SELECT DISTINCT application_name FROM pg_stat_get_activity(NULL)"
                " WHERE starts_with(application_name, %s) AND application_name <> %s",
                MARK,
                OURS,
            )
            for (name,) in names:
                found[name] = {"way": "sessions", "mark": name}
            for slot in marked_slots(session):
                found[slot] = {"way": "replay", "mark": slot, "kind": "postgres_replication_lag"}
            for facts in marked_schemas(session):
                found[facts["mark"]] = facts
        with suppress(BackendError), server.home() as home:
            for facts in marked_schemas(home):
                found[facts["mark"]] = facts
        return [{**facts, "backend": self.name, "url": place} for facts in found.values()]

    def _way_of(self, undo: Undo) -> Way | _Left:
        return _Left() if undo["way"] == "sessions" else self._ways[undo["way"]]
