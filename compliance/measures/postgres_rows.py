"""What PostgreSQL says, for the measures that ask it: each is given a way to ask, so that what they make of
the rows can be tried without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from chaos_locust.errors import ChaosError
from compliance.site import Site, Unreachable

Rows = Sequence[tuple[Any, ...]]
Ask = Callable[[Site, str, Sequence[Any]], Rows]
CONNECT_S, STATEMENT_MS = 10, 10_000


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
