"""A standby that stands still: its replay is paused. It cannot be written to, but a slot can carry a mark."""

from __future__ import annotations

import time

from chaos_locust.backends.base import Reading, Undo
from chaos_locust.backends.postgres.session import Server, Session
from chaos_locust.backends.postgres.way import Facts, Held, worked_s
from chaos_locust.errors import BackendError
from chaos_locust.faults.postgres import PostgresReplicationLag

SLOT_MARK = "chaos_"
_PAUSED_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.02


class Replay:
    """postgres_replication_lag. Readings: paused, behind_bytes: received and not replayed, and `worked_s`."""

    from_home = False

    def problems(self, server: Server, session: Session, fault: PostgresReplicationLag) -> list[str]:
        if not session.one("SELECT pg_is_in_recovery()"):
            return ["the server is no standby; give the URL of one"]
        if not session.one("SELECT has_function_privilege('pg_wal_replay_pause()', 'EXECUTE')"):
            return ["the role may not pause the replay; connect as a superuser"]
        if not session.one("SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user"):
            return [
                "the role may make no replication slot, which is to carry our mark; connect as a superuser"
            ]
        slots = "SELECT current_setting('max_replication_slots')::int - count(*) FROM pg_replication_slots"
        if session.one(slots) < 1:
            return ["no replication slot is free to carry our mark; raise max_replication_slots"]
        if session.one("SELECT pg_is_wal_replay_paused()"):
            return ["its replay is paused already"]
        return []

    def prepare(self, server: Server, session: Session, fault: PostgresReplicationLag) -> Facts:
        if not session.one("SELECT pg_is_in_recovery()"):
            raise BackendError("the server is no standby")
        return {}

    def inject(self, server: Server, fault: PostgresReplicationLag, undo: Undo, held: Held) -> None:
        with server.session() as session:
            if session.one("SELECT pg_is_wal_replay_paused()"):
                raise BackendError("its replay is paused already")
            # A slot that reserves nothing keeps nothing; its name alone is what it is for.
            session.rows("SELECT pg_create_physical_replication_slot(%s)", slot_name(undo))
            session.rows("SELECT pg_wal_replay_pause()")
            deadline_s = time.monotonic() + _PAUSED_LIMIT_S
            while not _is_paused(session):
                if time.monotonic() > deadline_s:
                    raise BackendError("the standby does not pause its replay")
                time.sleep(_LOOK_AGAIN_S)

    def look(
        self, server: Server, session: Session, fault: PostgresReplicationLag, undo: Undo, held: Held
    ) -> Reading:
        behind = "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::bigint"
        paused = _is_paused(session)
        return {"paused": paused, "behind_bytes": session.one(behind), **worked_s(session)}

    def revert(self, server: Server, undo: Undo) -> None:
        with server.session() as session:
            if not _has_slot(session, undo):
                return
            if session.one("SELECT pg_is_in_recovery()"):  # one that was promoted meanwhile replays no more
                session.rows("SELECT pg_wal_replay_resume()")
            session.rows("SELECT pg_drop_replication_slot(%s)", slot_name(undo))

    def left(self, server: Server, session: Session, undo: Undo) -> bool:
        return _has_slot(session, undo)


def slot_name(undo: Undo) -> str:
    """A slot's name has no hyphens and no capitals."""
    return str(undo["mark"]).replace("-", "_").lower()


def marked_slots(session: Session) -> list[str]:
    found = session.rows(
        "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE starts_with(slot_name, %s) ORDER BY 1",
        SLOT_MARK,
    )
    return [name for (name,) in found]


def _has_slot(session: Session, undo: Undo) -> bool:
    return slot_name(undo) in marked_slots(session)


def _is_paused(session: Session) -> bool:
    """Asked to pause it goes on for a moment; until 14 that could not be seen."""
    if session.version >= 14:
        state = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() END"
        return bool(session.one(state) == "paused")
    return bool(session.one("SELECT pg_is_in_recovery() AND pg_is_wal_replay_paused()"))
