"""Sessions of ours on a PostgreSQL server: bounded in time, known by their name, never counted as use."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from chaos_locust.errors import BackendError
from chaos_locust.probes.sockets import Peer
from chaos_locust.redact import redact_text

if TYPE_CHECKING:
    import psycopg
    from psycopg import pq

OURS = "chaos-locust"
"""The application_name of sessions that look or undo; those that hold a fault have its mark."""
HOMES = ("postgres", "template1")
"""Databases to work from when nobody may connect to the one that is meant."""

_CONNECT_LIMIT_S = 5.0
_CALL_LIMIT_S = 8.0
_OWN_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "default_transaction_read_only": "off",
    "client_min_messages": "error",
}

Row = tuple[Any, ...]


class OwnConnections:
    """Account of the connections that we make to any server, so that they never count as use.

    add: is told each connection before anything is sent over it. begun, over: how many ever; made: came to
    be a session.
    """

    def __init__(self, add: Callable[[Peer], None]) -> None:
        self.add = add
        self._lock = threading.Lock()
        self.begun = self.over = self.made = 0

    @contextmanager
    def connecting(self) -> Iterator[None]:
        with self._lock:
            self.begun += 1
        made = False
        try:
            yield
            made = True
        finally:
            with self._lock:
                self.over += 1
                self.made += made


class Server:
    """A server by its URL."""

    def __init__(self, url: str, own: OwnConnections) -> None:
        """Raises BackendError: the driver is missing, or the URL cannot be read."""
        conninfo = _driver().conninfo
        try:
            self._parts: dict[str, Any] = conninfo.conninfo_to_dict(url)
        except _driver().Error as error:
            raise BackendError(redact_text(f"the URL of PostgreSQL cannot be read: {_line(error)}")) from None
        self.own = own
        self.user = str(self._parts.get("user", ""))
        self.database = str(self._parts.get("dbname") or self.user)
        self.host = str(self._parts.get("host", "localhost"))
        self.port = int(self._parts.get("port", 5432))

    def session(
        self, name: str = OURS, database: str | None = None, settings: Mapping[str, str] | None = None
    ) -> Session:
        """settings: instead of those of ours; {}: as any other new session. Raises BackendError."""
        chosen = _OWN_SETTINGS if settings is None else settings
        options = " ".join(
            [str(self._parts.get("options", "")), *(f"-c {key}={value}" for key, value in chosen.items())]
        )
        changes = {
            "dbname": database or self.database,
            "application_name": name,
            "tcp_user_timeout": "5000",
            "options": options.strip(),
        }
        with self.own.connecting():
            return Session(_connected(self._parts | changes, self.own.add), changes["dbname"])

    def home(self) -> Session:
        """In another database than the one that is meant. Raises BackendError."""
        told = ""
        for database in HOMES:
            if database != self.database:
                try:
                    return self.session(database=database)
                except BackendError as error:
                    told = str(error)
        raise BackendError(f"there is no other database to work from ({' or '.join(HOMES)}): {told}")

    def anywhere(self) -> Session:
        """In the database that is meant, or in another when that lets nobody in. Raises BackendError."""
        try:
            return self.session()
        except BackendError:
            with suppress(BackendError):
                return self.home()
            raise


class Session:
    """One connection; each statement is a transaction of its own, except in `transaction`."""

    def __init__(self, connection: psycopg.Connection[Row], database: str) -> None:
        self._connection = connection
        self.database = database
        self.pid = connection.pgconn.backend_pid
        self.version = connection.pgconn.server_version // 10_000

    def is_superuser(self) -> bool:
        return bool(self.one("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"))

    def rows(self, query: str, *values: Any, limit_s: float = _CALL_LIMIT_S) -> list[Row]:
        """The rows of the last result; several statements only without values. Raises BackendError."""
        with _wording(), self._limited(limit_s):
            cursor = self._connection.execute(query.encode(), values or None)
            found = cursor.fetchall() if cursor.description else []
            while cursor.nextset():
                found = cursor.fetchall() if cursor.description else []
            return found

    def one(self, query: str, *values: Any) -> Any:
        """The first column of the first row; None when there is none. Raises BackendError."""
        rows = self.rows(query, *values)
        return rows[0][0] if rows else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Raises BackendError."""
        with _wording(), self._limited(_CALL_LIMIT_S), self._connection.transaction():
            yield

    def name(self, text: str) -> str:
        """As an SQL identifier."""
        return str(_driver().sql.Identifier(text).as_string(self._connection))

    def text(self, value: str) -> str:
        """As an SQL literal."""
        return str(_driver().sql.Literal(value).as_string(self._connection))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _limited(self, limit_s: float) -> Iterator[None]:
        """A server that stands still must not hold us: the connection is cut then."""
        timer = threading.Timer(limit_s, _cut, (self._connection.pgconn,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _cut(connection: pq.abc.PGconn) -> None:
    with socket.socket(fileno=os.dup(connection.socket)) as own:
        own.shutdown(socket.SHUT_RDWR)


def _driver() -> Any:
    """Imported when first needed: only an extra installs it."""
    try:
        import psycopg
        import psycopg.conninfo
        import psycopg.pq
        import psycopg.sql
    except ImportError:
        raise BackendError(
            "faults on PostgreSQL need a driver: pip install 'chaos-locust[postgres]'"
        ) from None
    return psycopg


@contextmanager
def _wording() -> Iterator[None]:
    try:
        yield
    except _driver().Error as error:
        raise BackendError(redact_text(f"PostgreSQL: {_line(error)}")) from None


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _connected(parts: Mapping[str, Any], add_own: Callable[[Peer], None]) -> psycopg.Connection[Row]:
    """By hand, so that the connection is known as ours before it sends anything, refused or not."""
    driver = _driver()
    where = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts['dbname']}"
    info = driver.conninfo.make_conninfo("", **parts).encode()
    connection = driver.pq.PGconn.connect_start(info)
    states = driver.pq.PollingStatus
    deadline_s, known, state = time.monotonic() + _CONNECT_LIMIT_S, -1, states.WRITING
    try:
        while state in (states.READING, states.WRITING):
            if connection.status == driver.pq.ConnStatus.BAD:
                break
            if connection.socket != known:
                known = connection.socket
                _tell_own(known, add_own)
            wait_s = deadline_s - time.monotonic()
            poll = select.poll()
            poll.register(known, select.POLLIN if state == states.READING else select.POLLOUT)
            if wait_s <= 0 or not poll.poll(wait_s * 1000):
                raise BackendError(f"PostgreSQL at {where} does not answer within {_CONNECT_LIMIT_S:g} s")
            state = connection.connect_poll()
        if state != states.OK:
            text = connection.error_message.decode(errors="replace").strip()
            lines = [line for line in text.splitlines() if not line.startswith("\t")]  # those are advice
            told = lines[-1] if lines else "no reason given"
            raise BackendError(redact_text(f"PostgreSQL at {where} cannot be connected to: {told}"))
    except BaseException:
        connection.finish()
        raise
    made: psycopg.Connection[Row] = driver.Connection(connection)
    made.autocommit = True
    return made


def _tell_own(descriptor: int, add_own: Callable[[Peer], None]) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as own:
        if own.family in (socket.AF_INET, socket.AF_INET6):
            host, port = own.getsockname()[:2]
            add_own((host.removeprefix("::ffff:"), port))
