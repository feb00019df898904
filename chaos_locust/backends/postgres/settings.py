"""Settings of a PostgreSQL server or database, with the old value in a marked schema."""

from __future__ import annotations

import time
from typing import Any

from chaos_locust.backends.base import Reading, Undo
from chaos_locust.backends.postgres.session import OURS, Server, Session
from chaos_locust.backends.postgres.way import (
    Facts,
    Held,
    drop_schema,
    has_schema,
    make_schema,
    marked_schemas,
    schema_problem,
)
from chaos_locust.errors import BackendError
from chaos_locust.faults.postgres import PostgresReadOnly, PostgresStatementTimeout, PostgresWorkMem

_SEEN_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.05
_STRONGER = {
    "command line": "the server's command line sets it",
    "environment variable": "the server's environment sets it",
    "database": "the database has a value of its own",
    "user": "the role has a value of its own",
    "database user": "the role has a value of its own in the database",
}
_STRONGER_THAN_DATABASE = ("user", "database user")


def _wanted(fault: Any) -> tuple[str, str]:
    """The setting and its value, in the units that PostgreSQL counts it in."""
    if isinstance(fault, PostgresWorkMem):
        return "work_mem", str(fault.work_mem_bytes // 1024)
    if isinstance(fault, PostgresStatementTimeout):
        return "statement_timeout", str(round(fault.limit_s * 1000))
    assert isinstance(fault, PostgresReadOnly)
    return "default_transaction_read_only", "on"


class Settings:
    """Readings: wanted and shown: the value in a new session, as it should be and as it is; temp_files and
    rollbacks of the database so far."""

    from_home = False

    def problems(self, server: Server, session: Session, fault: Any) -> list[str]:
        setting, _ = _wanted(fault)
        problem = schema_problem(session) or _taken(session, setting)
        if problem is not None:
            return [problem]
        if fault.scope == "database":
            owns = "SELECT pg_has_role(datdba, 'USAGE') FROM pg_catalog.pg_database WHERE datname = %s"
            if not session.one(owns, server.database):
                return [f"the role does not own the database {server.database}; connect as its owner"]
        elif not session.is_superuser():
            return [
                "only a superuser may change a setting of the server; connect as one, or take scope: database"
            ]
        elif session.one("SELECT current_setting('allow_alter_system', true)") == "off":
            return ["the server does not allow ALTER SYSTEM (allow_alter_system); take scope: database"]
        stronger = _STRONGER if fault.scope == "server" else _STRONGER_THAN_DATABASE
        with _plain(server) as plain:
            source = plain.one("SELECT source FROM pg_catalog.pg_settings WHERE name = %s", setting)
        if source in stronger:
            return [f"a change of {setting} of the {fault.scope} has no effect: {_STRONGER[source]}"]
        shown = self.prepare(server, session, fault)["shown"]
        return [f"{setting} is {shown} already"] if _shown(server, setting) == shown else []

    def prepare(self, server: Server, session: Session, fault: Any) -> Facts:
        setting, value = _wanted(fault)
        # For this one statement alone; it tells how the server writes the value.
        shown = session.one("SELECT set_config(%s, %s, true)", setting, value)
        return {
            "setting": setting,
            "scope": fault.scope,
            "database": server.database,
            "value": value,
            "shown": shown,
            "old": _stored(session, setting, fault.scope),
        }

    def inject(self, server: Server, fault: Any, undo: Undo, held: Held) -> None:
        with server.session() as session:
            if problem := _taken(session, undo["setting"]):
                raise BackendError(problem)
            with session.transaction():
                make_schema(session, undo)
                if undo["scope"] == "database":
                    session.rows(_change(session, undo, undo["value"]))
            if undo["scope"] == "server":
                session.rows(_change(session, undo, undo["value"]))
                session.rows("SELECT pg_reload_conf()")
        deadline_s = time.monotonic() + _SEEN_LIMIT_S
        while (shown := _looked(server, undo["setting"])) != undo["shown"]:
            if time.monotonic() > deadline_s:
                raise BackendError(f"a new session has {undo['setting']} = {shown}, not {undo['shown']}")
            time.sleep(_LOOK_AGAIN_S)

    def look(self, server: Server, session: Session, fault: Any, undo: Undo, held: Held) -> Reading:
        query = "SELECT temp_files, xact_rollback FROM pg_catalog.pg_stat_database WHERE datname = %s"
        temp_files, rollbacks = session.rows(query, undo["database"])[0]
        return {
            "wanted": undo["shown"],
            "shown": _looked(server, undo["setting"]),
            "temp_files": temp_files,
            "rollbacks": rollbacks,
        }

    def revert(self, server: Server, undo: Undo) -> None:
        with server.session() as session:
            if not has_schema(session, undo["mark"]):
                return
            if undo["scope"] == "database":
                with session.transaction():
                    session.rows(_change(session, undo, undo["old"]))
                    drop_schema(session, undo["mark"])
                return
            session.rows(_change(session, undo, undo["old"]))
            session.rows("SELECT pg_reload_conf()")
            drop_schema(session, undo["mark"])

    def left(self, server: Server, session: Session, undo: Undo) -> bool:
        # The server reads its files a moment after it was told to.
        return has_schema(session, undo["mark"]) or _shown(server, undo["setting"]) == undo["shown"]


def _plain(server: Server) -> Session:
    """A session like any other new one."""
    return server.session(OURS, settings={})


def _shown(server: Server, setting: str) -> str:
    with _plain(server) as plain:
        return str(plain.one(f"SHOW {plain.name(setting)}"))


def _looked(server: Server, setting: str) -> str:
    """As `_shown`; a limit may be so short that it hits us too."""
    try:
        return _shown(server, setting)
    except BackendError as error:
        return f"unknown ({error})"


def _taken(session: Session, setting: str) -> str | None:
    """Two runs that change one setting would put back each other's value."""
    for facts in marked_schemas(session):
        if facts.get("setting") == setting:
            return (
                f"{setting} is changed by a fault already ({facts['mark']}); if its run is dead, "
                "`chaos-locust cleanup --scan` puts it back"
            )
    return None


def _stored(session: Session, setting: str, scope: str) -> str | None:
    """The value that a RESET would lose; None: there is none."""
    if scope == "server":
        found = session.one(
            "SELECT setting FROM pg_catalog.pg_file_settings WHERE name = %s"
            " AND sourcefile LIKE '%%/postgresql.auto.conf' ORDER BY seqno DESC LIMIT 1",
            setting,
        )
        return None if found is None else str(found)
    stored = session.one(
        "SELECT setconfig FROM pg_catalog.pg_db_role_setting WHERE setrole = 0 AND setdatabase ="
        " (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
    )
    pairs = dict(item.split("=", 1) for item in stored or ())
    return pairs.get(setting)


def _change(session: Session, undo: Undo, value: str | None) -> str:
    where = "SYSTEM" if undo["scope"] == "server" else f"DATABASE {session.name(undo['database'])}"
    setting = session.name(undo["setting"])
    return (
        f"ALTER {where} RESET {setting}"
        if value is None
        else (f"ALTER {where} SET {setting} = {session.text(value)}")
    )
