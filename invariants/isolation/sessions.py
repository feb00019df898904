"""Real sessions on a PostgreSQL server, driven statement by statement.

Whether one waits for another is read from the server, so interleavings are the same each time.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from chaos_locust.errors import ChaosError
from invariants.isolation.promises import Level
from invariants.targets.sql_client import SqlTarget, driver_of, said

if TYPE_CHECKING:
    import psycopg

SETTLED_LIMIT_S = 30.0
"""A statement neither ends nor waits for another one for so long: nothing can be said then."""
_LOOK_EVERY_S = 0.01

CONFLICTS = ("40001", "40P01")
"""SQLSTATE of transactions that the server rolled back for the sake of others; they may be tried again."""


class Unsettled(ChaosError):
    """A session did something that tells nothing about isolation; the message says what."""


@dataclass(repr=False)
class Isolated(SqlTarget):
    """The database that is asked, and how its transactions are begun. scope: names what is made there."""

    answer_limit_s: float = SETTLED_LIMIT_S
    scope: str = field(default_factory=lambda: f"isolation-{uuid4().hex[:8]}")

    tables: ClassVar[str] = (
        "CREATE TABLE IF NOT EXISTS items (id int PRIMARY KEY, value bigint NOT NULL);"
        "CREATE TABLE IF NOT EXISTS lists (key text PRIMARY KEY, elements bigint[] NOT NULL)"
    )

    def begin_at(self, connection: psycopg.Connection[Any], level: Level) -> None:
        """Raises psycopg.Error."""
        connection.execute(f"BEGIN ISOLATION LEVEL {level.upper()}".encode())


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one statement. conflict: the server rolled the transaction back for the sake of another one."""

    rows: tuple[tuple[Any, ...], ...] = ()
    conflict: str = ""

    @property
    def one(self) -> Any:
        return self.rows[0][0] if self.rows else None


@dataclass
class Session:
    """One session with a thread of its own. After a conflict its transaction is over, and what is asked in it
    has the same answer."""

    name: str
    connection: psycopg.Connection[Any]
    target: Isolated
    look: Callable[[int], bool]
    log: list[str]
    _jobs: queue.SimpleQueue[tuple[Future[Answer], Callable[[], Answer]] | None] = field(
        default_factory=queue.SimpleQueue
    )
    _conflict: str = ""

    def __post_init__(self) -> None:
        self.pid = self.connection.info.backend_pid
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def begin(self, level: Level) -> str:
        """The level that the server says it is."""
        self._conflict = ""
        self.target.begin_at(self.connection, level)
        row = self.connection.execute(b"SHOW transaction_isolation").fetchone()
        assert row is not None
        self.log.append(f"{self.name}: BEGIN, {row[0]}")
        return str(row[0])

    def do(self, statement: str) -> Answer:
        """Raises Unsettled: it waits for another session."""
        asked = self.ask(statement)
        if not asked.done():
            raise Unsettled(f"{self.name} waits where nothing stands in its way: {statement}")
        return asked.result()

    def ask(self, statement: str) -> Future[Answer]:
        """Returns when it has its answer, or when the server says that it waits for another session."""
        future: Future[Answer] = Future()
        self._jobs.put((future, lambda: self._carried_out(statement)))
        deadline_s = time.monotonic() + SETTLED_LIMIT_S
        while not _done(future):
            if self.look(self.pid):
                self.log.append(f"{self.name}: {statement} -> waits")
                return future
            if time.monotonic() > deadline_s:
                raise Unsettled(f"{self.name} neither ended nor waited: {statement}")
        return future

    def wait(self, asked: Future[Answer]) -> Answer:
        """Of a statement that waited for another session. Raises Unsettled."""
        try:
            return asked.result(SETTLED_LIMIT_S)
        except TimeoutError:
            raise Unsettled(f"{self.name} still waits, though nothing stands in its way any more") from None

    def commit(self) -> Answer:
        return self.do("COMMIT")

    def rollback(self) -> Answer:
        return self.do("ROLLBACK")

    def end(self) -> None:
        """Whatever is open."""
        self._conflict = ""
        if self.connection.info.transaction_status:
            self.connection.execute(b"ROLLBACK")

    def close(self) -> None:
        self._jobs.put(None)
        self.connection.close()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, carry_out = job
            try:
                future.set_result(carry_out())
            except BaseException as error:  # told to whoever asked
                future.set_exception(error)

    def _carried_out(self, statement: str) -> Answer:
        driver = driver_of()
        if self._conflict:
            return Answer(conflict=self._conflict)
        try:
            cursor = self.connection.execute(statement.encode())
            answer = Answer(tuple(cursor.fetchall()) if cursor.description else ())
        except driver.Error as error:
            if error.sqlstate not in CONFLICTS:
                raise Unsettled(f"{self.name}: {statement}: {said(error)}") from None
            if not self.connection.closed:
                self.connection.execute(b"ROLLBACK")
            self._conflict = str(error.sqlstate)
            answer = Answer(conflict=self._conflict)
        self.log.append(f"{self.name}: {statement} -> {_told(answer)}")
        return answer


class Sessions:
    """Sessions on one table. log: a line for each statement since it was made afresh."""

    def __init__(self, target: Isolated, watcher: psycopg.Connection[Any], names: Sequence[str]) -> None:
        self.log: list[str] = []
        self._watcher, self._lock = watcher, threading.Lock()
        self._all = [
            Session(name, target.open(target.scope), target, self._waits, self.log) for name in names
        ]

    def afresh(self) -> list[Session]:
        """With no transaction open, and the table as each interleaving finds it."""
        for session in self._all:
            session.end()
        with self._lock:
            self._watcher.execute(b"TRUNCATE items, lists")
            self._watcher.execute(b"INSERT INTO items VALUES (1, 10), (2, 20)")
        self.log.clear()
        return self._all

    def said(self, level: Level) -> str:
        """The level that the server says it is, where this one is asked for."""
        first = self.afresh()[0]
        said = first.begin(level)
        first.rollback()
        return said

    def close(self) -> None:
        for session in self._all:
            session.close()

    def _waits(self, pid: int) -> bool:
        with self._lock:
            row = self._watcher.execute(b"SELECT cardinality(pg_blocking_pids(%s)) > 0", (pid,)).fetchone()
        return row is not None and bool(row[0])


@contextmanager
def sessions(target: Isolated, names: Sequence[str]) -> Iterator[Sessions]:
    """New ones, in a schema of their own. Raises psycopg.Error."""
    with target.open(target.scope) as watcher:
        target.make(watcher, target.scope)
        made = Sessions(target, watcher, names)
        try:
            yield made
        finally:
            made.close()


def _done(future: Future[Answer]) -> bool:
    try:
        future.exception(_LOOK_EVERY_S)
    except TimeoutError:
        return False
    return True


def _told(answer: Answer) -> str:
    if answer.conflict:
        return f"rolled back, {answer.conflict}"
    return ", ".join(str(row[0] if len(row) == 1 else row) for row in answer.rows) or "done"
