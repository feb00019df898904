"""Targets on PostgreSQL, each as one would rightly build it there, for `--target postgresql://...`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from invariants.bindings import Bound
from invariants.machine import Refused
from invariants.targets import sql_concurrency
from invariants.targets.sql_client import Level, SqlClient, SqlTarget

if TYPE_CHECKING:
    import psycopg

ACCOUNTS = ("checking", "savings", "wages")
OPENING_BALANCE = 100


@dataclass(repr=False)
class SqlTransactions(SqlTarget):
    """Several values are written in one transaction."""

    level: Level = "read committed"

    tables: ClassVar[str] = "CREATE TABLE IF NOT EXISTS items (name text PRIMARY KEY, value bigint NOT NULL)"

    def connect(self, scope: str) -> SqlTransactionsClient:
        return SqlTransactionsClient(self, scope, self.level)


class SqlTransactionsClient(SqlClient):
    def transaction(self, values: Mapping[str, int]) -> None:
        with self.in_transaction() as connection:
            for name, value in sorted(values.items()):  # in one order, so that none waits in a circle
                self.write_one(connection, name, value)

    def write_one(self, connection: psycopg.Connection[Any], name: str, value: int) -> None:
        connection.execute(
            b"INSERT INTO items VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def read(self, names: Sequence[str]) -> dict[str, int | None]:
        with self.statements() as connection:
            rows = connection.execute(b"SELECT name, value FROM items WHERE name = ANY(%s)", (list(names),))
            return dict.fromkeys(names) | {str(name): int(value) for name, value in rows}


@dataclass(repr=False)
class SqlRegisters(SqlTarget):
    """One row for each key; compare-and-set under a lock of the row."""

    tables: ClassVar[str] = (
        "CREATE TABLE IF NOT EXISTS registers (key text PRIMARY KEY, value bigint NOT NULL)"
    )

    def connect(self, scope: str) -> SqlRegistersClient:
        return SqlRegistersClient(self, scope)


class SqlRegistersClient(SqlClient):
    READ: ClassVar[bytes] = b"SELECT value FROM registers WHERE key = %s"
    READ_TO_CHANGE: ClassVar[bytes] = READ + b" FOR UPDATE"

    def read(self, key: str) -> int | None:
        with self.statements() as connection:
            row = connection.execute(self.READ, (key,)).fetchone()
        return None if row is None else int(row[0])

    def write(self, key: str, value: int) -> None:
        with self.in_transaction() as connection:
            connection.execute(
                b"INSERT INTO registers VALUES (%s, %s) "
                b"ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            )

    def cas(self, key: str, old: int | None, new: int) -> bool:
        with self.in_transaction() as connection:
            row = connection.execute(self.READ_TO_CHANGE, (key,)).fetchone()
            if row is None:  # no row, no lock: whoever inserts first wins
                insert = b"INSERT INTO registers VALUES (%s, %s) ON CONFLICT (key) DO NOTHING"
                return old is None and connection.execute(insert, (key, new)).rowcount == 1
            if row[0] != old:
                return False
            connection.execute(b"UPDATE registers SET value = %s WHERE key = %s", (new, key))
            return True


@dataclass(repr=False)
class SqlElements(SqlTarget):
    """One row for each element."""

    tables: ClassVar[str] = "CREATE TABLE IF NOT EXISTS elements (element bigint PRIMARY KEY)"

    def connect(self, scope: str) -> SqlElementsClient:
        return SqlElementsClient(self, scope)


class SqlElementsClient(SqlClient):
    def add(self, element: int) -> None:
        with self.in_transaction() as connection:
            connection.execute(b"INSERT INTO elements VALUES (%s)", (element,))

    def read(self) -> list[int]:
        with self.statements() as connection:
            return [int(row[0]) for row in connection.execute(b"SELECT element FROM elements")]


@dataclass(repr=False)
class SqlQueue(SqlTarget):
    """A table; what is taken is locked and deleted in one transaction, and others pass it by meanwhile."""

    tables: ClassVar[str] = (
        "CREATE TABLE IF NOT EXISTS messages (id bigserial PRIMARY KEY, message bigint NOT NULL)"
    )

    def connect(self, scope: str) -> SqlQueueClient:
        return SqlQueueClient(self, scope)


class SqlQueueClient(SqlClient):
    ENQUEUE: ClassVar[bytes] = b"INSERT INTO messages (message) VALUES (%s)"
    TAKE: ClassVar[bytes] = (
        b"DELETE FROM messages WHERE id = "
        b"(SELECT id FROM messages ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING message"
    )

    def enqueue(self, message: int) -> None:
        with self.in_transaction() as connection:
            connection.execute(self.ENQUEUE, (message,))

    def dequeue(self) -> int | None:
        with self.in_transaction() as connection:
            row = connection.execute(self.TAKE).fetchone()
        return None if row is None else int(row[0])

    def drain(self) -> list[int]:
        with self.in_transaction() as connection:  # waits for those that others hold
            rows = connection.execute(b"DELETE FROM messages RETURNING message").fetchall()
        return [int(row[0]) for row in rows]


@dataclass(repr=False)
class SqlBank(SqlTarget):
    """A transfer locks both accounts, in one order, looks, and writes."""

    level: Level = "read committed"

    tables: ClassVar[str] = (
        "CREATE TABLE IF NOT EXISTS accounts (name text PRIMARY KEY, balance bigint NOT NULL);"
        f"INSERT INTO accounts SELECT unnest('{{{','.join(ACCOUNTS)}}}'::text[]), {OPENING_BALANCE} "
        "ON CONFLICT (name) DO NOTHING"
    )
    accounts: ClassVar[Mapping[str, int]] = dict.fromkeys(ACCOUNTS, OPENING_BALANCE)

    def connect(self, scope: str) -> SqlBankClient:
        return SqlBankClient(self, scope, self.level)


class SqlBankClient(SqlClient):
    LOOK: ClassVar[bytes] = b"SELECT balance FROM accounts WHERE name = %s FOR UPDATE"

    def transfer(self, source: str, target: str, amount: int) -> None:
        with self.in_transaction() as connection:
            balances = {name: self.balance(connection, name) for name in sorted({source, target})}
            if balances[source] < amount:
                raise Refused("not enough money")
            balances[source] -= amount
            balances[target] += amount
            for name, balance in balances.items():
                connection.execute(b"UPDATE accounts SET balance = %s WHERE name = %s", (balance, name))

    def balance(self, connection: psycopg.Connection[Any], name: str) -> int:
        row = connection.execute(self.LOOK, (name,)).fetchone()
        if row is None:
            raise Refused(f"there is no account {name}")
        return int(row[0])

    def read(self) -> dict[str, int]:
        with self.statements() as connection:
            rows = connection.execute(b"SELECT name, balance FROM accounts ORDER BY name")
            return {str(name): int(balance) for name, balance in rows}


@dataclass(repr=False)
class SqlLists(SqlTarget):
    """Lists that are appended to and read in transactions of the given level."""

    level: Level = "serializable"

    tables: ClassVar[str] = (
        "CREATE TABLE IF NOT EXISTS lists (key text PRIMARY KEY, elements bigint[] NOT NULL)"
    )

    def connect(self, scope: str) -> SqlListsClient:
        return SqlListsClient(self, scope, self.level)


class SqlListsClient(SqlClient):
    def txn(self, steps: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """steps and result: as in `invariants.checkers.list_append`."""
        with self.in_transaction() as connection:
            return [[kind, key, self.step(connection, kind, key, value)] for kind, key, value in steps]

    def step(self, connection: psycopg.Connection[Any], kind: str, key: str, value: Any) -> Any:
        if kind == "append":
            connection.execute(
                b"INSERT INTO lists VALUES (%s, ARRAY[%s::bigint]) "
                b"ON CONFLICT (key) DO UPDATE SET elements = lists.elements || excluded.elements",
                (key, value),
            )
            return value
        row = connection.execute(b"SELECT elements FROM lists WHERE key = %s", (key,)).fetchone()
        return [] if row is None else list(row[0])


def bindings(url: str) -> Mapping[str, Bound]:
    """The invariants that a PostgreSQL server can be asked for. Raises InvalidUrl."""
    return {
        "queue_never_loses_messages": Bound(SqlQueue(url), concurrency=4),
        "transactions_are_atomic": Bound(SqlTransactions(url), concurrency=4),
        "registers_are_linearizable": Bound(SqlRegisters(url), concurrency=4),
        "elements_never_disappear": Bound(SqlElements(url), concurrency=4),
        "money_is_conserved": Bound(SqlBank(url), concurrency=4),
        "sessions_are_consistent": Bound(SqlRegisters(url), concurrency=4),
        "transactions_are_serializable": Bound(SqlLists(url), concurrency=4),
        **sql_concurrency.bindings(url),
    }
