"""Connections to PostgreSQL: few, watched, replaced when broken, every wait with an end.

Written out because the pools at hand come back slowly after an outage (they wait longer with each failed
attempt) or cost a round trip for each check; here a broken connection is replaced within a second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]

from chaos_locust.demo.logins import way_to_database
from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.errors import Unavailable

POOL_SIZE = 10
SLOT_WAIT_S = 0.5
CALL_S = 1.0  # for connecting, and for each statement; the server gives up before (servers.py)

# asyncpg tells a session that the server ended just before its use as an error of its own insides.
_BROKEN = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_FAILURES = (*_BROKEN, asyncpg.PostgresError)


class Database:
    """A limited number of slots, each for the use of one connection at a time."""

    def __init__(self, settings: Settings) -> None:
        self._way = way_to_database(settings)
        self._leaky = settings.has("leaky-pool")
        self._bounded = not settings.has("no-timeout")
        self._pooled = not settings.has("no-pool")
        self._keeps_broken = settings.has("stale-connections")
        self._slots = asyncio.Semaphore(POOL_SIZE)
        self._idle: deque[asyncpg.Connection] = deque()
        self.in_use = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of one's own. Raises Unavailable when the database fails or no slot gets free."""
        try:
            async with asyncio.timeout(SLOT_WAIT_S if self._bounded else None):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable("postgres", f"no database connection within {SLOT_WAIT_S} s") from None
        self.in_use += 1
        try:
            async with self._lent() as connection:
                yield connection
        except _FAILURES as error:
            if not self._leaky:
                self._give_back()
            raise Unavailable("postgres", f"database: {type(error).__name__}") from error
        except BaseException:
            self._give_back()
            raise
        else:
            self._give_back()

    def _give_back(self) -> None:
        self.in_use -= 1
        self._slots.release()

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[asyncpg.Connection]:
        """An idle connection, or a new one; taken back only if it is in order and has nothing under way."""
        self._drop_broken()
        connection = self._idle.popleft() if self._idle else await self._connect()
        try:
            yield connection
        except (*_BROKEN, asyncio.CancelledError):
            connection.terminate()  # a statement may be under way, and its answer come at any time
            raise
        finally:
            if not self._pooled:
                connection.terminate()
            if self._keeps_broken or not connection.is_closed():
                if len(self._idle) < POOL_SIZE:
                    self._idle.append(connection)
                else:
                    connection.terminate()

    def _drop_broken(self) -> None:
        if not self._keeps_broken:
            self._idle = deque(c for c in self._idle if not c.is_closed())

    async def _connect(self) -> asyncpg.Connection:
        without = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
        return await asyncpg.connect(
            **self._way,
            database="shop",
            ssl=False,  # saves the round trip that asks for it
            timeout=CALL_S if self._bounded else 3600,
            command_timeout=CALL_S if self._bounded else None,
            server_settings={"application_name": "shop", **({} if self._bounded else without)},
        )

    async def keep_warm(self) -> None:
        """For ever, if there is a pool: replace what broke, so that requests rarely wait for a connection."""
        while self._pooled:
            self._drop_broken()
            try:
                while len(self._idle) + self.in_use < POOL_SIZE:
                    self._idle.append(await self._connect())
                await self._renew_one()
            except _FAILURES:
                pass  # requests report it; the next second tries again
            await asyncio.sleep(1)

    async def _renew_one(self) -> None:
        """None grows old, so that a database that moved or changed its ways is noticed; the new one first."""
        new = await self._connect()
        if self._idle:
            self._idle.popleft().terminate()
            self._idle.append(new)
        else:
            new.terminate()

    def close(self) -> None:
        """Drop all idle connections at once."""
        for connection in self._idle:
            connection.terminate()
        self._idle.clear()
