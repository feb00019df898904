"""Accounts, and what is known of their users: shown to them, given to them, and erased when they want it.

Erased is the account, and who placed an order; the orders stay, for the books. The audit log keeps its
records: what was done must stay known as long as the law wants it to.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

from chaos_locust.demo.identity import NO_EXPIRY_S, TOKEN_S
from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.catalogue import Cache
from chaos_locust.demo.shop.database import Database
from chaos_locust.demo.shop.orders import as_json
from chaos_locust.demo.shop.revoked import Revoked, all_of
from chaos_locust.demo.shop.tokens import Tokens

PAGE = 1000

_SUM = """
SELECT count(*) AS orders, coalesce(sum(amount_cents), 0)::bigint AS spent_cents
FROM orders WHERE user_name = $1"""
_ORDERS = """
SELECT o.id, o.user_name, o.idempotency_key, o.product_id, o.quantity, o.amount_cents, s.shipped_at
FROM orders o LEFT JOIN shipments s ON s.order_id = o.id
WHERE o.user_name = $1 AND o.id > $2 ORDER BY o.id LIMIT $3"""
_FORGET = "UPDATE orders SET user_name = $2, idempotency_key = id::text WHERE user_name = $1"


class People:
    """The users of the shop."""

    def __init__(
        self, database: Database, cache: Cache, tokens: Tokens, revoked: Revoked, settings: Settings
    ) -> None:
        self._database = database
        self._cache = cache
        self._tokens = tokens
        self._revoked = revoked
        self._leaves = settings.has("leftovers-after-erasure")
        self._token_s = NO_EXPIRY_S if settings.has("no-expiry") else TOKEN_S

    async def all(self) -> dict[str, Any]:
        """Every account: user, role, enabled, made_at, last_login. Raises Unavailable."""
        return await self._tokens.ask("GET", "/accounts")

    async def make(self, user: str, password: str) -> dict[str, Any]:
        """The account of a new customer. Raises ShopError 409, 422, Unavailable."""
        await self._tokens.ask("POST", "/accounts", {"user": user, "password": password, "role": "customer"})
        return {"user": user, "role": "customer"}

    async def shown(self, user: str) -> bytes:
        """What the user sees of himself, as a JSON body; a moment old. Raises Unavailable."""
        cached = await self._cache.get(_name(user))
        if cached is not None:
            return cached
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SUM, user)
        body = json.dumps({"user": user, **dict(row)}).encode()
        await self._cache.put(_name(user), body)
        return body

    async def export(self, user: str, after: uuid.UUID) -> dict[str, Any]:
        """The account, and the orders with a higher id. `next`: the `after` of the next page, None if there
        is none. Raises ShopError 404, Unavailable."""
        account, rows = await asyncio.gather(
            self._tokens.ask("GET", f"/accounts/{user}"), self._orders(user, after)
        )
        more = str(rows[-1]["id"]) if len(rows) == PAGE else None
        return {"account": account, "orders": [as_json(row) for row in rows], "next": more}

    async def _orders(self, user: str, after: uuid.UUID) -> list[Any]:
        async with self._database.connection() as connection:
            rows: list[Any] = await connection.fetch(_ORDERS, user, after, PAGE)
        return rows

    async def erase(self, user: str) -> None:
        """Once this returns it is done; after an error it may be asked for again. Raises Unavailable."""
        if not self._leaves:
            async with self._database.connection() as connection:
                await connection.execute(_FORGET, user, f"erased-{uuid.uuid4().hex}")
        await self._tokens.ask("DELETE", f"/accounts/{user}")
        await self._revoked.add(all_of(user), time.time() + self._token_s)
        if not self._leaves:
            await self._cache.forget(_name(user))


def _name(user: str) -> str:
    return f"me:{user}"
