"""Faults on a PostgreSQL server (13 or newer), done by its own protocol.

The target's `postgres` is the URL of the server itself, not of a pooler; it is done to its database.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from chaos_locust.data import Bytes, PositiveSeconds, Share
from chaos_locust.faults.base import Fault
from chaos_locust.units import format_duration, format_size

LEAST_WORK_MEM_BYTES = 64 * 1024

_DIES = "it is held by a session of the guardian: when that dies, the server ends it"
_PUT_BACK = "the guardian puts the old value back, or `chaos-locust cleanup` does; a marked schema keeps it"


def _short(value_s: float) -> float:
    if value_s > 30:
        raise ValueError(f"'{format_duration(value_s)}' is not allowed; give 30s at most")
    return value_s


def _seldom(value_s: float) -> float:
    if value_s < 0.1:
        raise ValueError(f"'{format_duration(value_s)}' is not allowed; give 100ms or more")
    return value_s


def _whole_milliseconds(value_s: float) -> float:
    if Decimal(repr(value_s)) * 1000 % 1:
        raise ValueError(f"'{format_duration(value_s)}' is too fine for PostgreSQL; give whole milliseconds")
    return value_s


def _work_mem(value: int) -> int:
    if value < LEAST_WORK_MEM_BYTES or value % 1024:
        raise ValueError(f"'{format_size(value)}' is not allowed; give whole KiB, 64KiB or more")
    return value


Text = Annotated[str, Field(min_length=1)]
Delay = Annotated[PositiveSeconds, AfterValidator(_short)]
Scope = Annotated[
    Literal["server", "database"],
    Field(
        description="server: the whole server by ALTER SYSTEM, sessions that are open too, unless a session, "
        "role or database has a value of its own; database: new sessions of the database alone"
    ),
]
Mode = Literal[
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
]


class PostgresFault(Fault):
    """closes: while it acts nobody gets into the database, so nothing else could be undone in it."""

    family: ClassVar[str] = "postgres"
    needs: ClassVar[tuple[str, ...]] = ("postgres",)
    closes: ClassVar[bool] = False

    def clashes_with(self, other: Fault) -> str:
        if not isinstance(other, PostgresFault):
            return ""
        if self.closes:
            return "while a database refuses connections, nothing else can be undone in it"
        return super().clashes_with(other)


class TableFault(PostgresFault):
    """Base of those that lock a table."""

    table: Annotated[str, Field(min_length=1, description="a table, as SQL names it: orders, or shop.orders")]

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, TableFault):
            return f"both lock the table {self.table}" if self.table == other.table else ""
        return super().clashes_with(other)


class PostgresRefuseConnections(PostgresFault):
    """ALTER DATABASE ... ALLOW_CONNECTIONS false, from another database (postgres or template1)."""

    kind: ClassVar[str] = "postgres_refuse_connections"
    summary: ClassVar[str] = "the database accepts no new connection of anybody; those that are open stay"
    closes: ClassVar[bool] = True
    undo: ClassVar[str] = _PUT_BACK
    effect_text: ClassVar[str] = "a connection of ours is refused, and connections of others were too"


class PostgresUnavailable(PostgresFault):
    """As postgres_refuse_connections, and every session of the database is ended."""

    kind: ClassVar[str] = "postgres_unavailable"
    summary: ClassVar[str] = "the database accepts no connection, and all that are open are ended"
    closes: ClassVar[bool] = True
    undo: ClassVar[str] = _PUT_BACK
    effect_text: ClassVar[str] = "nobody is in the database, and sessions that had work were ended or refused"


class PostgresExhaustConnections(PostgresFault):
    """Idle sessions of ours take the free places of the server, and each one that becomes free.

    Superusers keep those that are reserved for them (superuser_reserved_connections), so a load that connects
    as superuser does not run out.
    """

    kind: ClassVar[str] = "postgres_exhaust_connections"
    summary: ClassVar[str] = "takes all connections of the server but leave"
    undo: ClassVar[str] = f"{_DIES}; the server ends it 15 s after its time too (idle_session_timeout)"
    effect_text: ClassVar[str] = "no more than leave are free, and connections of others were refused"

    leave: int = Field(
        default=0, ge=0, strict=True, description="so many stay free for ordinary roles; a whole number"
    )


class PostgresSlowConnect(PostgresFault):
    """The table that every log-in reads (pg_authid) is locked for `delay`, again and again, by one statement
    each: so each new connection to the server waits up to `delay`, half of it in the mean."""

    kind: ClassVar[str] = "postgres_slow_connect"
    summary: ClassVar[str] = "each new connection waits up to delay, half of it in the mean"
    undo: ClassVar[str] = f"{_DIES} after delay at most, since each lock is one statement with an end"
    effect_text: ClassVar[str] = "the lock is held most of the time, and connections waited for it"

    delay_s: Delay = Field(alias="delay", description="at most 30s; a client that waits less gives up")


class PostgresSlowQueries(TableFault):
    """The table is locked for `delay`, again and again, by one statement each: so each statement that touches
    it, reading or writing, of whatever role, waits up to `delay`, half of it in the mean."""

    kind: ClassVar[str] = "postgres_slow_queries"
    summary: ClassVar[str] = "each statement on the table waits up to delay, half of it in the mean"
    undo: ClassVar[str] = f"{_DIES} after delay at most, since each lock is one statement with an end"
    effect_text: ClassVar[str] = "the lock is held most of the time, and statements of others waited for it"

    delay_s: Delay = Field(alias="delay", description="at most 30s")


class PostgresLockTable(TableFault):
    """LOCK TABLE in a transaction that stays open."""

    kind: ClassVar[str] = "postgres_lock_table"
    summary: ClassVar[str] = "holds a lock on the table"
    undo: ClassVar[str] = f"{_DIES}; 15 s after its time too (idle_in_transaction_session_timeout)"
    effect_text: ClassVar[str] = "the lock is granted to us (pg_locks), and sessions of others wait for it"

    mode: Mode = Field(
        default="ACCESS EXCLUSIVE", description="of the lock; ACCESS EXCLUSIVE keeps readers waiting too"
    )


class PostgresLockRow(TableFault):
    """SELECT ... FOR UPDATE of the row where `key` is `value`, in a transaction that stays open."""

    kind: ClassVar[str] = "postgres_lock_row"
    summary: ClassVar[str] = "holds a lock on the row where key is value"
    undo: ClassVar[str] = f"{_DIES}; 15 s after its time too (idle_in_transaction_session_timeout)"
    effect_text: ClassVar[str] = "others cannot lock the row, and sessions of others wait for it"

    key: Text = Field(description="a column of the table that names one row")
    value: str | int = Field(description="of that column")


class PostgresTerminateBackends(PostgresFault):
    """pg_terminate_backend, each `every`. Never our own sessions, and never those of replication."""

    kind: ClassVar[str] = "postgres_terminate_backends"
    summary: ClassVar[str] = "ends a share of the database's sessions again and again"
    undo: ClassVar[str] = "nothing to undo: it stops with the guardian that does it"
    effect_text: ClassVar[str] = "sessions were ended, and they had run a statement shortly before"

    every_s: Annotated[PositiveSeconds, AfterValidator(_seldom)] = Field(
        default=1.0, alias="every", description="from one time to the next, 100ms or more"
    )
    share: Share = Field(default=1.0, description="of the sessions, drawn for each of them each time")
    user: Text | None = Field(default=None, description="only sessions of this role")
    application: Text | None = Field(default=None, description="only sessions with this application_name")


class PostgresDropIndex(PostgresFault):
    """The planner does without the index: it is marked invalid in the catalogue (pg_index.indisvalid).

    As if it had been dropped, but it is kept up to date meanwhile, so that it comes back at once and exactly
    as it was, whatever dies; building it again could take hours, and fail. Needs a superuser.
    """

    kind: ClassVar[str] = "postgres_drop_index"
    summary: ClassVar[str] = "the planner does without the index; it comes back at once and as it was"
    undo: ClassVar[str] = (
        "the guardian makes it valid again, or `chaos-locust cleanup`; a marked schema tells"
    )
    effect_text: ClassVar[str] = "it is in no plan, and the load used it before and scans otherwise now"

    index: Text = Field(description="its name, as SQL names it; not of a primary key or other constraint")

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, PostgresDropIndex) and other.index != self.index:
            return ""
        return super().clashes_with(other)


class PostgresWorkMem(PostgresFault):
    """Sorts and hashes that need more go to disk, and plans that would need more are not made."""

    kind: ClassVar[str] = "postgres_work_mem"
    summary: ClassVar[str] = "leaves each sort or hash of a query only so little memory"
    undo: ClassVar[str] = _PUT_BACK
    effect_text: ClassVar[str] = "a new session has it, and queries of the load wrote temporary files"

    work_mem_bytes: Annotated[Bytes, AfterValidator(_work_mem)] = Field(
        default=LEAST_WORK_MEM_BYTES, alias="work_mem", description="64KiB or more"
    )
    scope: Scope = "server"


class PostgresStatementTimeout(PostgresFault):
    """Statements that take longer than `limit` are cancelled by the server."""

    kind: ClassVar[str] = "postgres_statement_timeout"
    summary: ClassVar[str] = "cancels statements that take longer than limit"
    undo: ClassVar[str] = _PUT_BACK
    effect_text: ClassVar[str] = "a new session has it, and more transactions failed than before"

    limit_s: Annotated[PositiveSeconds, AfterValidator(_whole_milliseconds)] = Field(
        alias="limit", description="in whole milliseconds"
    )
    scope: Scope = "server"


class PostgresReadOnly(PostgresFault):
    """default_transaction_read_only: transactions that do not ask for more can only read."""

    kind: ClassVar[str] = "postgres_read_only"
    summary: ClassVar[str] = "refuses writes"
    undo: ClassVar[str] = _PUT_BACK
    effect_text: ClassVar[str] = "a new session has it, and more transactions failed than before"

    scope: Scope = "server"


class PostgresSerializationFailures(TableFault):
    """A share of the statements that write to the table fail with SQLSTATE 40001, as they may under
    repeatable read or serializable; by a marked trigger."""

    kind: ClassVar[str] = "postgres_serialization_failures"
    summary: ClassVar[str] = "a share of the statements that write to the table fail with SQLSTATE 40001"
    undo: ClassVar[str] = (
        "the trigger acts only while a session of the guardian lives, and never 15 s after its time; "
        "the guardian drops it, or `chaos-locust cleanup` does"
    )
    effect_text: ClassVar[str] = "the trigger is there, and it counted statements of the load that it failed"

    share: Share = Field(description="of the statements, drawn for each of them")


class PostgresReplicationLag(PostgresFault):
    """The target is a standby: it receives what its primary writes and does not show it."""

    kind: ClassVar[str] = "postgres_replication_lag"
    summary: ClassVar[str] = "a standby stands still at what it had, while its primary goes on"
    undo: ClassVar[str] = (
        "the guardian resumes it, or `chaos-locust cleanup`; a marked replication slot tells"
    )
    effect_text: ClassVar[str] = "its replay is paused and falls behind, and sessions of others read from it"


FAULTS: tuple[type[Fault], ...] = (
    PostgresUnavailable,
    PostgresRefuseConnections,
    PostgresExhaustConnections,
    PostgresSlowConnect,
    PostgresSlowQueries,
    PostgresLockTable,
    PostgresLockRow,
    PostgresTerminateBackends,
    PostgresDropIndex,
    PostgresWorkMem,
    PostgresStatementTimeout,
    PostgresReadOnly,
    PostgresSerializationFailures,
    PostgresReplicationLag,
)
