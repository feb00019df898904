"""Targets on PostgreSQL with one planted defect each, as real programs have them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from invariants.machine import NoAnswer
from invariants.targets import sql
from invariants.targets.sql_client import driver_of, limited, said

if TYPE_CHECKING:
    import psycopg


@dataclass(repr=False)
class AutocommitTransactions(sql.SqlTransactions):
    """Each statement is a transaction of its own."""

    def connect(self, scope: str) -> AutocommitTransactionsClient:
        return AutocommitTransactionsClient(self, scope)


class AutocommitTransactionsClient(sql.SqlTransactionsClient):
    def transaction(self, values: Mapping[str, int]) -> None:
        connection = self.connected()
        with limited(connection, self.target.answer_limit_s):
            try:
                for name, value in sorted(values.items()):
                    self.write_one(connection, name, value)
            except driver_of().Error as error:
                self.drop_broken()
                raise NoAnswer(said(error)) from None


@dataclass(repr=False)
class UnlockedRegisters(sql.SqlRegisters):
    """Reads, compares and writes without a lock between."""

    def connect(self, scope: str) -> UnlockedRegistersClient:
        return UnlockedRegistersClient(self, scope)


class UnlockedRegistersClient(sql.SqlRegistersClient):
    READ_TO_CHANGE = sql.SqlRegistersClient.READ


@dataclass(repr=False)
class ElementsInOneRow(sql.SqlElements):
    """All elements are in one row, which is read, and written with one more."""

    tables: ClassVar[str] = (
        "CREATE TABLE IF NOT EXISTS elements (id int PRIMARY KEY, elements bigint[] NOT NULL);"
        "INSERT INTO elements VALUES (1, '{}') ON CONFLICT (id) DO NOTHING"
    )

    def connect(self, scope: str) -> ElementsInOneRowClient:
        return ElementsInOneRowClient(self, scope)


class ElementsInOneRowClient(sql.SqlElementsClient):
    def add(self, element: int) -> None:
        with self.in_transaction() as connection:
            (elements,) = connection.execute(b"SELECT elements FROM elements").fetchone() or ([],)
            connection.execute(b"UPDATE elements SET elements = %s::bigint[]", ([*elements, element],))

    def read(self) -> list[int]:
        with self.statements() as connection:
            return [int(each) for (each,) in connection.execute(b"SELECT unnest(elements) FROM elements")]


@dataclass(repr=False)
class UnlockedQueue(sql.SqlQueue):
    """Two who look at the same time take the same message."""

    def connect(self, scope: str) -> UnlockedQueueClient:
        return UnlockedQueueClient(self, scope)


class UnlockedQueueClient(sql.SqlQueueClient):
    def dequeue(self) -> int | None:
        with self.in_transaction() as connection:
            row = connection.execute(b"SELECT id, message FROM messages ORDER BY id LIMIT 1").fetchone()
            if row is None:
                return None
            connection.execute(b"DELETE FROM messages WHERE id = %s", (row[0],))
            return int(row[1])


@dataclass(repr=False)
class EarlyQueue(sql.SqlQueue):
    """A message is accepted before it is committed: with the next thing that this connection does, if any."""

    def connect(self, scope: str) -> EarlyQueueClient:
        return EarlyQueueClient(self, scope)


class EarlyQueueClient(sql.SqlQueueClient):
    def enqueue(self, message: int) -> None:
        connection = self.connected()
        if not connection.info.transaction_status:
            connection.execute(b"BEGIN")
        connection.execute(self.ENQUEUE, (message,))

    @contextmanager
    def in_transaction(self) -> Iterator[psycopg.Connection[Any]]:
        with contextlib.suppress(driver_of().Error):
            self.connected().execute(b"COMMIT")
        with super().in_transaction() as connection:
            yield connection


@dataclass(repr=False)
class ForgetfulQueue(sql.SqlQueue):
    """Takes two messages at a time, and forgets the second one when its connection is closed."""

    def connect(self, scope: str) -> ForgetfulQueueClient:
        return ForgetfulQueueClient(self, scope)


class ForgetfulQueueClient(sql.SqlQueueClient):
    TAKE = sql.SqlQueueClient.TAKE.replace(b"id = (", b"id IN (").replace(b"LIMIT 1", b"LIMIT 2")

    def __init__(self, target: sql.SqlQueue, scope: str) -> None:
        super().__init__(target, scope)
        self._taken: list[int] = []

    def dequeue(self) -> int | None:
        if not self._taken:
            with self.in_transaction() as connection:
                self._taken = [int(row[0]) for row in connection.execute(self.TAKE)]
        return self._taken.pop(0) if self._taken else None


@dataclass(repr=False)
class StaleSessions(sql.SqlRegisters):
    """Reads come from another connection, whose transaction nobody ends, so they stay as they were."""

    def connect(self, scope: str) -> StaleSessionsClient:
        return StaleSessionsClient(self, scope)


class StaleSessionsClient(sql.SqlRegistersClient):
    def __init__(self, target: sql.SqlRegisters, scope: str) -> None:
        super().__init__(target, scope)
        self._reader = sql.SqlRegistersClient(target, scope)

    def read(self, key: str) -> int | None:
        connection = self._reader.connected()
        if not connection.info.transaction_status:
            connection.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ")
        row = connection.execute(self.READ, (key,)).fetchone()
        return None if row is None else int(row[0])

    def close(self) -> None:
        self._reader.close()
        super().close()


@dataclass(repr=False)
class UnlockedBank(sql.SqlBank):
    """Balances are read without a lock, and written as what was computed from that."""

    def connect(self, scope: str) -> UnlockedBankClient:
        return UnlockedBankClient(self, scope)


class UnlockedBankClient(sql.SqlBankClient):
    LOOK = sql.SqlBankClient.LOOK.removesuffix(b" FOR UPDATE")


@dataclass(repr=False)
class SkewedBank(sql.SqlBank):
    """Balances are read one after the other, each as it is just then."""

    def connect(self, scope: str) -> SkewedBankClient:
        return SkewedBankClient(self, scope)


class SkewedBankClient(sql.SqlBankClient):
    def read(self) -> dict[str, int]:
        with self.statements() as connection:
            names = [str(row[0]) for row in connection.execute(b"SELECT name FROM accounts ORDER BY name")]
            return {name: self.balance(connection, name) for name in names}


@dataclass(repr=False)
class LooseLists(sql.SqlLists):
    """A pool that hands out connections of a lower level than was asked for."""

    def connect(self, scope: str) -> sql.SqlListsClient:
        return sql.SqlListsClient(self, scope, "read committed")
