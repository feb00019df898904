"""Targets on PostgreSQL with one planted defect each, as programs have them that many use at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from invariants.machine import Refused
from invariants.targets import sql_concurrency as sql

if TYPE_CHECKING:
    import psycopg


@dataclass(repr=False)
class ReadThenWrite(sql.SqlAmount):
    """Reads what is there, and writes what it makes of that."""

    def connect(self, scope: str) -> ReadThenWriteClient:
        return ReadThenWriteClient(self, scope)


class ReadThenWriteClient(sql.SqlAmountClient):
    def add(self, amount: int) -> None:
        with self.in_transaction() as connection:
            more = self.look(connection) + amount
            connection.execute(b"UPDATE amounts SET there = %s", (more,))


@dataclass(repr=False)
class LookThenTake(sql.SqlAmount):
    """Sees that enough is there, and takes it then."""

    def connect(self, scope: str) -> LookThenTakeClient:
        return LookThenTakeClient(self, scope)


class LookThenTakeClient(sql.SqlAmountClient):
    def take(self, amount: int) -> None:
        with self.in_transaction() as connection:
            if self.look(connection) < amount:
                raise Refused("too little")
            connection.execute(b"UPDATE amounts SET there = there - %s", (amount,))


@dataclass(repr=False)
class AutocommitLocks(sql.SqlLocks):
    """No transaction is open, so the lock is gone when its statement ends."""

    def connect(self, scope: str) -> AutocommitLocksClient:
        return AutocommitLocksClient(self, scope, self.patience_s)


class AutocommitLocksClient(sql.SqlLocksClient):
    BEGIN = b"SELECT"


@dataclass(repr=False)
class LocksOfAnybody(sql.SqlLocks):
    """A column names who holds it; who waits in vain takes it from whoever does."""

    def connect(self, scope: str) -> LocksOfAnybodyClient:
        return LocksOfAnybodyClient(self, scope, self.patience_s)


class LocksOfAnybodyClient(sql.SqlLocksClient):
    BEGIN = b"SELECT"
    ALONE = b"UPDATE locks SET holder = pg_backend_pid()::text WHERE holder IS NULL"
    FREE: ClassVar[bytes] = b"UPDATE locks SET holder = NULL"

    def acquire(self) -> None:
        try:
            super().acquire()
        except Refused:
            self.release()
            raise

    def release(self) -> None:
        with self.in_transaction() as connection:
            connection.execute(self.FREE)


@dataclass(repr=False)
class KeptLocks(LocksOfAnybody):
    """Who is done gives back a lock of its own, and looks for it under another name than it was taken."""

    def connect(self, scope: str) -> KeptLocksClient:
        return KeptLocksClient(self, scope, self.patience_s)


class KeptLocksClient(LocksOfAnybodyClient):
    FREE = LocksOfAnybodyClient.FREE + b" WHERE holder = current_user::text"


@dataclass(repr=False)
class BlindReaders(sql.SqlLocks):
    """Who reads does not look whether somebody writes."""

    def connect(self, scope: str) -> BlindReadersClient:
        return BlindReadersClient(self, scope, self.patience_s)


class BlindReadersClient(sql.SqlLocksClient):
    SHARED = b"SELECT FROM locks"


@dataclass(repr=False)
class Overwritten(sql.SqlRecord):
    """Writes whatever the version is."""

    def connect(self, scope: str) -> OverwrittenClient:
        return OverwrittenClient(self, scope)


class OverwrittenClient(sql.SqlRecordClient):
    PUT = sql.SqlRecordClient.PUT.partition(b" WHERE")[0]


@dataclass(repr=False)
class CheckThenAct(sql.SqlRecord):
    """Compares the version, and writes then."""

    def connect(self, scope: str) -> CheckThenActClient:
        return CheckThenActClient(self, scope)


class CheckThenActClient(sql.SqlRecordClient):
    def put(self, value: str, version: int) -> None:
        with self.in_transaction() as connection:
            if self.look(connection)[1] != version:
                raise Refused("conflict")
            connection.execute(OverwrittenClient.PUT, {"value": value})


@dataclass(repr=False)
class UnlockedTasks(sql.SqlTasks):
    """Two who look at the same time take the same task."""

    def connect(self, scope: str) -> UnlockedTasksClient:
        return UnlockedTasksClient(self, scope)


class UnlockedTasksClient(sql.SqlTasksClient):
    def take(self, connection: psycopg.Connection[Any]) -> int | None:
        row = connection.execute(b"SELECT id, task FROM tasks ORDER BY id LIMIT 1").fetchone()
        if row is None:
            return None
        connection.execute(b"DELETE FROM tasks WHERE id = %s", (row[0],))
        return int(row[1])


@dataclass(repr=False)
class MadeTwice(sql.SqlOnce):
    """Looks whether it is there, and makes it then; no unique key forbids to."""

    tables: ClassVar[str] = sql.SqlOnce.tables.replace("PRIMARY KEY", "NOT NULL")

    def connect(self, scope: str) -> MadeTwiceClient:
        return MadeTwiceClient(self, scope)


class MadeTwiceClient(sql.SqlOnceClient):
    def get(self, name: str) -> str:
        with self.in_transaction() as connection:
            instance = self.found(connection, name)
            if instance is None:
                instance = uuid4().hex
                connection.execute(self.MAKE, (name, instance))
        return instance
