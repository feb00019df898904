"""What all targets on PostgreSQL are made of: a schema for each sequence, and transactions whose end is told
as it is known.

Whatever fails before COMMIT is sent is rolled back by the server, also when the connection is lost: Refused.
A COMMIT whose answer does not come may have been carried out: NoAnswer.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from chaos_locust.errors import ChaosError, DirtyTarget
from chaos_locust.redact import redact_text
from invariants.machine import NoAnswer, Refused, TargetDown
from invariants.targets.urls import UrlTarget, without_password

if TYPE_CHECKING:
    import psycopg

Level = Literal["read committed", "repeatable read", "serializable"]
Row = tuple[Any, ...]

FORGET_LIMIT_S = 30.0
"""So long it is tried to take a schema away, for a server may only just be coming back."""
CONNECT_LIMIT_S = 5
_PATIENCE_S = 0.1

_MAKE = """
BEGIN;
SELECT pg_advisory_xact_lock(hashtext({name}));
CREATE SCHEMA IF NOT EXISTS {schema};
{tables};
COMMIT
"""
_END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = %s AND pid <> pg_backend_pid()"""

ROLLED_BACK = ("23", "40")
"""Classes of SQLSTATE with which a COMMIT tells that nothing was written, except the one that follows."""
UNKNOWN_COMPLETION = "40003"

ClientT = TypeVar("ClientT", bound="SqlClient")


@dataclass(repr=False)
class SqlTarget(UrlTarget):
    """A database by its URL. Each sequence has a schema of its own there, which its role must be allowed to
    create; nothing else is touched."""

    schemes: ClassVar[tuple[str, ...]] = ("postgresql", "postgres")
    usual_password_env: ClassVar[str] = "PGPASSWORD"

    tables: ClassVar[str] = ""
    """Statements that make what is needed, and may be carried out twice; semicolons between them."""

    def check(self) -> None:
        """Raises TargetDown; ChaosError: the driver is missing."""
        driver = driver_of()
        try:
            with self.open("") as connection:
                row = connection.execute(
                    "SELECT has_database_privilege(current_database(), 'CREATE'), current_user, "
                    "current_database(), pg_is_in_recovery()"
                ).fetchone()
        except driver.Error as error:
            raise TargetDown(f"{without_password(self.url)} does not answer: {said(error)}") from None
        assert row is not None
        may, role, database, standby = row
        if standby:
            raise TargetDown(f"{without_password(self.url)} is a standby, where nothing can be written")
        if not may:
            raise TargetDown(
                f"the role {role} may not create a schema in the database {database}; "
                f"GRANT CREATE ON DATABASE {database} TO {role}"
            )

    def open(self, scope: str) -> psycopg.Connection[Row]:
        """A connection of that sequence, in its schema. Raises psycopg.Error."""
        driver = driver_of()
        password = self.password()
        limit_ms = int(self.answer_limit_s * 1000)
        # What a session of ours leaves open when its link is lost must not stand in others' way for ever.
        settings = {
            "statement_timeout": 2 * limit_ms,
            "idle_in_transaction_session_timeout": 4 * limit_ms,
            "search_path": schema_of(scope),
        }
        made: psycopg.Connection[Row] = driver.connect(
            self.url,
            autocommit=True,
            connect_timeout=CONNECT_LIMIT_S,
            application_name=schema_of(scope),
            options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
            **({} if password is None else {"password": password}),
        )
        return made

    def make(self, connection: psycopg.Connection[Row], scope: str) -> None:
        """The schema with its tables, if it is not there. Raises psycopg.Error."""
        name = schema_of(scope)
        there = connection.execute("SELECT to_regnamespace(%s) IS NOT NULL", (name,)).fetchone()
        if there is not None and not there[0]:
            text = _MAKE.format(name=f"'{name}'", schema=name, tables=self.tables)
            connection.execute(text.encode())

    def forget(self, scope: str) -> None:
        """Ends the sequence's sessions and drops its schema. Raises DirtyTarget."""
        driver, name, end_s = driver_of(), schema_of(scope), self.clock() + FORGET_LIMIT_S
        while True:
            try:
                with self.open("") as connection:
                    connection.execute(_END_SESSIONS, (name,))
                    connection.execute("SET lock_timeout = '2s'")
                    connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())
                return
            except driver.Error as error:
                if self.clock() > end_s:
                    place = without_password(self.url)
                    raise DirtyTarget(
                        f"the schema {name} could not be taken away from {place}: {said(error)}"
                    ) from None
            self.sleep(_PATIENCE_S)


class SqlClient:
    """One connection, made when it is first needed and anew after it broke."""

    def __init__(self, target: SqlTarget, scope: str, level: Level = "read committed") -> None:
        self.level = level
        self.target, self._scope = target, scope
        self._connection: psycopg.Connection[Row] | None = None

    @contextmanager
    def in_transaction(self) -> Iterator[psycopg.Connection[Row]]:
        """Rolled back when its body raises. Raises Refused, NoAnswer."""
        driver, connection = driver_of(), self.connected()
        with limited(connection, self.target.answer_limit_s):
            try:
                connection.execute(f"BEGIN ISOLATION LEVEL {self.level}".encode())
                yield connection
            except driver.Error as error:
                self._roll_back(connection)
                raise Refused(said(error)) from None
            except BaseException:
                self._roll_back(connection)
                raise
            try:
                done = connection.execute("COMMIT").statusmessage
            except driver.Error as error:
                self.drop_broken()
                state = error.sqlstate or ""
                if state[:2] in ROLLED_BACK and state != UNKNOWN_COMPLETION:
                    raise Refused(said(error)) from None
                raise NoAnswer(f"no answer to COMMIT: {said(error)}") from None
        if done != "COMMIT":
            raise Refused(f"COMMIT was answered with {done}")

    @contextmanager
    def statements(self) -> Iterator[psycopg.Connection[Row]]:
        """Each statement for itself. For those that only read: what fails did not happen. Raises Refused."""
        driver, connection = driver_of(), self.connected()
        with limited(connection, self.target.answer_limit_s):
            try:
                yield connection
            except driver.Error as error:
                self.drop_broken()
                raise Refused(said(error)) from None

    def connected(self) -> psycopg.Connection[Row]:
        """Raises Refused: there is no connection, so nothing was asked."""
        if self._connection is None:
            driver = driver_of()
            try:
                self._connection = self.target.open(self._scope)
                with limited(self._connection, self.target.answer_limit_s):
                    self.target.make(self._connection, self._scope)
            except driver.Error as error:
                self.close()
                raise Refused(f"not connected: {said(error)}") from None
        return self._connection

    def drop_broken(self) -> None:
        """Lets a connection go that cannot be used any more."""
        if self._connection is not None and (self._connection.broken or self._connection.closed):
            self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _roll_back(self, connection: psycopg.Connection[Row]) -> None:
        with contextlib.suppress(driver_of().Error):
            connection.execute("ROLLBACK")
            return
        self.close()


@contextmanager
def limited(connection: psycopg.Connection[Row], limit_s: float) -> Iterator[None]:
    """A server or link that stands still must not hold a lane: the connection is cut then."""
    timer = threading.Timer(limit_s, _cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: psycopg.Connection[Row]) -> None:
    # It may have been closed meanwhile, or the other end may be gone.
    gone = (OSError, driver_of().Error)
    with contextlib.suppress(*gone), socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)


def schema_of(scope: str) -> str:
    """The schema of one sequence; also the application_name of its sessions."""
    return re.sub(r"[^a-z0-9]+", "_", f"chaos_locust_{scope.lower()}").strip("_")


def said(error: Exception) -> str:
    """What the driver told, in one line and without secrets."""
    state = getattr(error, "sqlstate", None)
    lines: Sequence[str] = str(error).strip().splitlines() or [type(error).__name__]
    return redact_text(f"{state}: {lines[0]}" if state else lines[0])


def driver_of() -> Any:
    """psycopg, imported when first needed: only an extra installs it. Raises ChaosError."""
    try:
        import psycopg
    except ImportError:
        raise ChaosError(
            "invariants on PostgreSQL need a driver: pip install 'chaos-locust[postgres]'"
        ) from None
    return psycopg
