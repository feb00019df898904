"""What many do at the same time on PostgreSQL, each as one would rightly build it there: amounts, locks,
records with a version, tasks, and what is made when it is first wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from invariants.bindings import Bound
from invariants.machine import NoAnswer, Refused
from invariants.targets.sql_client import SqlClient, SqlTarget, driver_of, limited, said

if TYPE_CHECKING:
    import psycopg

FIRST = "A"
"""The value of a record that nobody has written yet."""
HOLD_S = 0.002
"""So long the lock is held, so that others come meanwhile."""
_TRY_AGAIN_S = 0.001


@dataclass(repr=False)
class SqlAmount(SqlTarget):
    """A counter, or what is left of something that is sold: one row, changed in one statement."""

    tables: ClassVar[str] = (
        "CREATE TABLE IF NOT EXISTS amounts (there bigint NOT NULL);"
        "INSERT INTO amounts SELECT 0 WHERE NOT EXISTS (SELECT FROM amounts)"
    )

    def connect(self, scope: str) -> SqlAmountClient:
        return SqlAmountClient(self, scope)


class SqlAmountClient(SqlClient):
    def add(self, amount: int) -> None:
        with self.in_transaction() as connection:
            connection.execute(b"UPDATE amounts SET there = there + %s", (amount,))

    def take(self, amount: int) -> None:
        with self.in_transaction() as connection:
            take = b"UPDATE amounts SET there = there - %s WHERE there >= %s"
            if not connection.execute(take, (amount, amount)).rowcount:
                raise Refused("too little")

    def read(self) -> int:
        with self.statements() as connection:
            return self.look(connection)

    def look(self, connection: psycopg.Connection[Any]) -> int:
        (there,) = connection.execute(b"SELECT there FROM amounts").fetchone() or (0,)
        return int(there)


@dataclass(repr=False)
class SqlLocks(SqlTarget):
    """A lock of a row, for as long as the transaction is open: who loses the connection loses the lock.

    patience_s: who has waited so long is told that others hold it.
    """

    patience_s: float = 0.02

    tables: ClassVar[str] = (
        "CREATE TABLE IF NOT EXISTS locks (name text PRIMARY KEY, holder text);"
        "INSERT INTO locks VALUES ('lock', NULL) ON CONFLICT (name) DO NOTHING"
    )

    def connect(self, scope: str) -> SqlLocksClient:
        return SqlLocksClient(self, scope, self.patience_s)


class SqlLocksClient(SqlClient):
    BEGIN: ClassVar[bytes] = b"BEGIN"
    ALONE: ClassVar[bytes] = b"SELECT FROM locks FOR UPDATE SKIP LOCKED"
    SHARED: ClassVar[bytes] = b"SELECT FROM locks FOR SHARE SKIP LOCKED"

    def __init__(self, target: SqlTarget, scope: str, patience_s: float) -> None:
        super().__init__(target, scope)
        self._patience_s = patience_s

    def acquire(self) -> None:
        self._until_given(self.ALONE)

    def acquire_shared(self) -> None:
        self._until_given(self.SHARED)

    def release(self) -> None:
        # An answer to COMMIT shows that the lock was held to here. Without one nobody knows until when.
        connection = self.connected()
        try:
            with limited(connection, self.target.answer_limit_s):
                connection.execute(b"COMMIT")
        except driver_of().Error as error:
            self.close()
            raise NoAnswer(f"no answer to COMMIT: {said(error)}") from None

    def release_shared(self) -> None:
        self.release()

    def _until_given(self, statement: bytes) -> None:
        """Asks again and again. To stand in line with a limit (lock_timeout) is no proof that others hold it
        when that is over: who was first in line may just be giving up."""
        connection = self.connected()
        give_up_s = self.target.clock() + self._patience_s
        with limited(connection, self.target.answer_limit_s):
            self._begin(connection)
            try:
                while not connection.execute(statement).rowcount:
                    if self.target.clock() > give_up_s:
                        connection.execute(b"ROLLBACK")
                        raise Refused("held")
                    self.target.sleep(_TRY_AGAIN_S)
            except driver_of().Error as error:
                # The server holds what it gave until it notices that nobody is there any more.
                self.close()
                raise NoAnswer(f"no answer to the lock: {said(error)}") from None

    def _begin(self, connection: psycopg.Connection[Any]) -> None:
        try:
            connection.execute(self.BEGIN)
        except driver_of().Error as error:
            self.close()
            raise Refused(said(error)) from None


@dataclass(repr=False)
class SqlRecord(SqlTarget):
    """A record that is only changed where it still has the version that was read."""

    tables: ClassVar[str] = (
        "CREATE TABLE IF NOT EXISTS records (value text NOT NULL, version bigint NOT NULL);"
        f"INSERT INTO records SELECT '{FIRST}', 0 WHERE NOT EXISTS (SELECT FROM records)"
    )

    def connect(self, scope: str) -> SqlRecordClient:
        return SqlRecordClient(self, scope)


class SqlRecordClient(SqlClient):
    PUT: ClassVar[bytes] = (
        b"UPDATE records SET value = %(value)s, version = version + 1 WHERE version = %(version)s"
    )

    def read(self) -> tuple[str, int]:
        with self.statements() as connection:
            return self.look(connection)

    def look(self, connection: psycopg.Connection[Any]) -> tuple[str, int]:
        row = connection.execute(b"SELECT value, version FROM records").fetchone()
        if row is None:
            raise Refused("there is no record")
        return str(row[0]), int(row[1])

    def put(self, value: str, version: int) -> None:
        with self.in_transaction() as connection:
            if not connection.execute(self.PUT, {"value": value, "version": version}).rowcount:
                raise Refused("conflict")


@dataclass(repr=False)
class SqlTasks(SqlTarget):
    """What a task does is committed with its removal; others pass by a task that somebody is at."""

    tables: ClassVar[str] = (
        "CREATE TABLE IF NOT EXISTS tasks (id bigserial PRIMARY KEY, task bigint NOT NULL);"
        "CREATE TABLE IF NOT EXISTS executed (task bigint NOT NULL)"
    )

    def connect(self, scope: str) -> SqlTasksClient:
        return SqlTasksClient(self, scope)


class SqlTasksClient(SqlClient):
    def request(self, task: int) -> None:
        with self.in_transaction() as connection:
            connection.execute(b"INSERT INTO tasks (task) VALUES (%s)", (task,))

    def work(self) -> bool:
        with self.in_transaction() as connection:
            task = self.take(connection)
            if task is not None:
                connection.execute(b"INSERT INTO executed VALUES (%s)", (task,))
        return task is not None

    def take(self, connection: psycopg.Connection[Any]) -> int | None:
        row = connection.execute(
            b"DELETE FROM tasks WHERE id = "
            b"(SELECT id FROM tasks ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING task"
        ).fetchone()
        return None if row is None else int(row[0])

    def executions(self) -> list[int]:
        with self.in_transaction() as connection:  # waits for those that others are at
            connection.execute(
                b"WITH rest AS (DELETE FROM tasks RETURNING task) INSERT INTO executed SELECT task FROM rest"
            )
        with self.statements() as connection:
            return [int(row[0]) for row in connection.execute(b"SELECT task FROM executed")]


@dataclass(repr=False)
class SqlOnce(SqlTarget):
    """A unique key: whoever inserts first has made it, and all read what is there then."""

    tables: ClassVar[str] = (
        "CREATE TABLE IF NOT EXISTS instances (name text PRIMARY KEY, instance text NOT NULL)"
    )

    def connect(self, scope: str) -> SqlOnceClient:
        return SqlOnceClient(self, scope)


class SqlOnceClient(SqlClient):
    MAKE: ClassVar[bytes] = b"INSERT INTO instances VALUES (%s, %s)"

    def get(self, name: str) -> str:
        with self.in_transaction() as connection:
            connection.execute(self.MAKE + b" ON CONFLICT (name) DO NOTHING", (name, uuid4().hex))
            instance = self.found(connection, name)
        if instance is None:
            raise Refused(f"there is no {name}")
        return instance

    def found(self, connection: psycopg.Connection[Any], name: str) -> str | None:
        row = connection.execute(b"SELECT instance FROM instances WHERE name = %s", (name,)).fetchone()
        return None if row is None else str(row[0])

    def executions(self) -> list[str]:
        with self.statements() as connection:
            return [str(row[0]) for row in connection.execute(b"SELECT name FROM instances")]


def bindings(url: str) -> Mapping[str, Bound]:
    """Raises InvalidUrl."""
    holds = {"hold_s": HOLD_S}
    return {
        "counters_are_exact": Bound(SqlAmount(url), concurrency=4),
        "stock_is_never_oversold": Bound(SqlAmount(url), concurrency=4),
        "locks_exclude": Bound(SqlLocks(url), holds, concurrency=4),
        "writers_are_alone": Bound(SqlLocks(url), holds, concurrency=4),
        "updates_are_not_lost": Bound(SqlRecord(url), concurrency=4),
        "tasks_run_once": Bound(SqlTasks(url), concurrency=4),
        "initialised_once": Bound(SqlOnce(url), concurrency=4),
    }
