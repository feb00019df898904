"""Tokens that were given back before they expired.

Where one process takes them all back, it knows them all once it has read those of its predecessors. Where
there are several, the database is asked each time. Without it nobody can tell what a token is worth, and that
is said.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from datetime import UTC, datetime

from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.database import Database
from chaos_locust.demo.shop.errors import Unavailable

AGAIN_S = 0.5

_READ = "SELECT jti, expires_at FROM revoked_tokens WHERE expires_at > now()"
_ASK = "SELECT EXISTS (SELECT FROM revoked_tokens WHERE jti = ANY($1) AND expires_at > now())"
_ADD = """
WITH gone AS (DELETE FROM revoked_tokens WHERE expires_at < now())
INSERT INTO revoked_tokens (jti, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"""


def all_of(user: str) -> str:
    """Stands for all tokens of that user, and does not tell who it is."""
    return f"all of {hashlib.sha256(user.encode(errors='replace')).hexdigest()}"


class Revoked:
    """Tokens by their jti, or by what stands for all of a user."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._ignored = settings.has("no-logout")
        self._alone = settings.apart is None
        self._known: dict[str, float] = {}
        self._read = False

    async def hold(self, *names: str) -> bool:
        """Any of them. Raises Unavailable if that cannot be told."""
        if not self._alone:
            async with self._database.connection() as connection:
                return bool(await connection.fetchval(_ASK, names))
        if not self._read:
            await self._read_all()
        return any(name in self._known for name in names)

    async def add(self, jti: str, expires_at: float) -> None:
        """Refused from now on, also after a restart. Raises Unavailable if that cannot be promised."""
        if self._ignored:
            return
        now = time.time()
        self._known = {known: end for known, end in self._known.items() if end > now} | {jti: expires_at}
        async with self._database.connection() as connection:
            await connection.execute(_ADD, jti, datetime.fromtimestamp(expires_at, UTC))

    async def read_at_start(self) -> None:
        """Until it has succeeded, so that the first requests need not."""
        while not self._read:
            try:
                await self._read_all()
            except Unavailable:
                await asyncio.sleep(AGAIN_S)

    async def _read_all(self) -> None:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_READ)
        self._known |= {row["jti"]: row["expires_at"].timestamp() for row in rows}
        self._read = True
