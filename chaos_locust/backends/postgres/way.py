"""What the ways of faulting a PostgreSQL server have in common: what they are asked and hold, and marks."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from chaos_locust.backends.base import MARK, Reading, Undo
from chaos_locust.backends.postgres.session import Server, Session
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault

MARGIN_S = 15.0
"""So long after a fault's time the server itself ends what it can end."""
_GONE_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.02

Facts = dict[str, Any]
"""What undoing needs to know, as JSON data; a part of the Undo."""


class Held:
    """What this process holds for one fault: sessions, what a thread of it counted and last failed at."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.told: set[tuple[int, float]] = set()
        """Sessions that were told to end: (pid, start)."""
        self.error = ""
        self._sessions: list[Session] = []
        self._over = threading.Event()

    def keep(self, session: Session) -> Session:
        self._sessions.append(session)
        return session

    def repeat(
        self,
        make: Callable[[], Session],
        step: Callable[[Session], object],
        every_s: float,
        first: Session | None = None,
    ) -> None:
        """Does `step` again and again in a thread with a session of its own, a new one where that broke."""

        def work() -> None:
            session = first
            while not self._over.wait(every_s):
                try:
                    session = session or make()
                    step(session)
                except BackendError as error:
                    self.error = str(error)
                    if session is not None:
                        session.close()
                        session = None
                    self._over.wait(0.2)
            if session is not None:
                session.close()

        threading.Thread(target=work, daemon=True).start()

    def release(self) -> None:
        """The thread ends after its step; its session is ended on the server by its name."""
        self._over.set()
        while self._sessions:
            self._sessions.pop().close()


class Way(Protocol):
    """How some kinds of faults are done. All raise BackendError, but for `problems`, which tells."""

    from_home: bool
    """Whether it has to be looked at from another database."""

    def problems(self, server: Server, session: Session, fault: Any) -> list[str]:
        """What stands in the way of it. Changes nothing."""

    def prepare(self, server: Server, session: Session, fault: Any) -> Facts: ...

    def inject(self, server: Server, fault: Any, undo: Undo, held: Held) -> None: ...

    def look(self, server: Server, session: Session, fault: Any, undo: Undo, held: Held) -> Reading: ...

    def revert(self, server: Server, undo: Undo) -> None:
        """After the sessions with the mark have been ended."""

    def left(self, server: Server, session: Session, undo: Undo) -> bool:
        """Whether anything of it is there besides sessions."""


class Sessions:
    """The base of ways that leave nothing but sessions."""

    from_home = False

    def prepare(self, server: Server, session: Session, fault: Any) -> Facts:
        return {}

    def revert(self, server: Server, undo: Undo) -> None:
        pass

    def left(self, server: Server, session: Session, undo: Undo) -> bool:
        return False


def holding_settings(fault: Fault, version: int) -> Mapping[str, str]:
    """The server ends a session that only holds something, a while after the fault's time."""
    assert fault.duration_s is not None
    limit_ms = round((fault.duration_s + MARGIN_S) * 1000)
    settings = {
        "statement_timeout": "5s",
        "lock_timeout": "2s",
        "default_transaction_read_only": "off",
        "client_min_messages": "error",
        "idle_in_transaction_session_timeout": str(limit_ms),
    }
    return settings | ({"idle_session_timeout": str(limit_ms)} if version >= 14 else {})


def marked_sessions(session: Session, mark: str) -> list[int]:
    found = session.rows(
        "SELECT pid FROM pg_stat_get_activity(NULL) WHERE application_name = %s AND pid <> pg_backend_pid()",
        mark,
    )
    return [pid for (pid,) in found]


def end_sessions(session: Session, mark: str) -> None:
    """Returns when no session with this name is left. Raises BackendError."""
    deadline_s = time.monotonic() + _GONE_LIMIT_S
    while pids := marked_sessions(session, mark):
        if time.monotonic() > deadline_s:
            raise BackendError(f"{len(pids)} sessions of {mark} do not end")
        session.rows("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", pids)
        time.sleep(_LOOK_AGAIN_S)


# -- marked schemas: what was changed stands in the comment, so that it can be undone without a lease -------


def make_schema(session: Session, undo: Undo) -> None:
    facts = {key: value for key, value in undo.items() if key != "url"}
    schema = session.name(undo["mark"])
    session.rows(f"CREATE SCHEMA {schema}")
    session.rows(f"COMMENT ON SCHEMA {schema} IS {session.text(json.dumps(facts))}")


def has_schema(session: Session, mark: str) -> bool:
    return bool(session.one("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", mark))


def drop_schema(session: Session, mark: str) -> None:
    session.rows(f"DROP SCHEMA IF EXISTS {session.name(mark)} CASCADE")


def marked_schemas(session: Session) -> list[Facts]:
    """The facts of every marked schema of this database; of one without them only its mark."""
    found = session.rows(
        "SELECT nspname, obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace"
        " WHERE starts_with(nspname, %s) ORDER BY nspname",
        MARK,
    )
    return [_facts(name, comment) for name, comment in found]


def _facts(name: str, comment: str | None) -> Facts:
    try:
        facts = json.loads(comment or "")
        return {**facts, "mark": name}
    except (ValueError, TypeError):
        return {"way": "trigger", "mark": name}  # to drop the schema is all that can be done


def schema_problem(session: Session) -> str | None:
    if session.one("SELECT pg_is_in_recovery()"):
        return "the server is a standby, where nothing can be written; give the URL of its primary"
    if session.one("SELECT has_database_privilege(current_database(), 'CREATE')"):
        return None
    return (
        f"the role may not create a schema in the database {session.database}; GRANT CREATE ON DATABASE to it"
    )


# -- tables -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    oid: int
    name: str
    """Quoted, with its schema."""
    kind: str


def find_table(session: Session, name: str) -> Table:
    """A table, index or other relation. Raises BackendError."""
    found = session.rows(
        "SELECT c.oid::bigint, format('%%I.%%I', n.nspname, c.relname), c.relkind::text"
        " FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)",
        name,
    )
    if not found:
        raise BackendError(f"there is no {name} in the database {session.database}")
    return Table(*found[0])


def others() -> str:
    """SQL: whether a row of pg_stat_get_activity is somebody else's session."""
    return (
        f"(backend_type = 'client backend' AND pid <> pg_backend_pid()"
        f" AND NOT starts_with(coalesce(application_name, ''), '{MARK}'))"
    )


def worked_s(session: Session) -> Facts:
    """server_s: its clock. worked_s: when a session of others last began a statement in this database."""
    now, last = session.rows(
        "SELECT extract(epoch FROM clock_timestamp())::float8, max(extract(epoch FROM query_start))::float8"
        f" FROM pg_stat_get_activity(NULL) WHERE datid = (SELECT oid FROM pg_catalog.pg_database"
        f" WHERE datname = current_database()) AND {others()}"
    )[0]
    return {"server_s": now, "worked_s": last}
