"""What PostgreSQL says, for the measures that ask it: each is given a way to ask, so that what they make of
the rows can be tried without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from chaos_locust.errors import ChaosError
from compliance.measures.base import Unsupported
from compliance.site import Site, Unreachable

Rows = Sequence[tuple[Any, ...]]
Ask = Callable[[Site, str, Sequence[Any]], Rows]
CONNECT_S, STATEMENT_MS = 10, 10_000
MOST_TABLES = 200
TABLES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'
ORDER BY 1"""
_HOLDS = "SELECT EXISTS (SELECT 1 FROM {table} AS found WHERE found::text LIKE ANY (%s))"


def ask(site: Site, query: str, values: Sequence[Any] = ()) -> Rows:
    """One query in a read-only transaction of the target's `postgres.url`. Raises Unreachable, ChaosError."""
    import psycopg

    assert site.target.postgres is not None
    url = site.target.postgres.url
    if password := urlsplit(url).password:
        site.secrets.add(password)
    options = f"-c default_transaction_read_only=on -c statement_timeout={STATEMENT_MS}"
    try:
        connection = psycopg.connect(url, connect_timeout=CONNECT_S, options=options)
    except psycopg.Error as error:
        raise Unreachable(f"PostgreSQL: {error}".strip()) from None
    try:
        with connection:
            return connection.execute(query.encode(), values).fetchall()
    except psycopg.Error as error:
        raise ChaosError(f"PostgreSQL: {type(error).__name__}: {error}".strip()) from None


def holding(asked: Ask, site: Site, texts: Sequence[str]) -> list[str]:
    """Tables that have one of these in them, as text or in a column of bytes. Raises Unsupported, and what
    `asked` does."""
    tables = [str(row[0]) for row in asked(site, TABLES, ())]
    if not tables or len(tables) > MOST_TABLES:
        raise Unsupported(f"{len(tables)} tables; from 1 to {MOST_TABLES} can be searched")
    patterns = [f"%{_escaped(form)}%" for each in texts for form in (each, each.encode().hex())]
    site.note(f"searched {', '.join(tables)}")
    return [table for table in tables if asked(site, _HOLDS.format(table=table), (patterns,))[0][0]]


def _escaped(text: str) -> str:
    """For LIKE, in a row that is written as text: quotes and backslashes are doubled there."""
    written = text.replace("\\", "\\\\").replace('"', '""')
    return written.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
