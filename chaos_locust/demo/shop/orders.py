"""Placing orders, and reading them. What ships them is shipping.py."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.audit import AuditLog
from chaos_locust.demo.shop.catalogue import Catalogue
from chaos_locust.demo.shop.database import Database
from chaos_locust.demo.shop.errors import ShopError, Unavailable
from chaos_locust.demo.shop.payments import Payments

ATTEMPTS = 4  # for an order that the database gives up for the sake of others
PAUSE_S = 0.005  # before the second of them, on average; twice as much before each further one
ACKNOWLEDGE_S = 0.1  # how long the defect `lost-order` waits for a commit before it says yes anyway

# Each of these is one statement and so one transaction, and one round trip however slow the link is.
_QUOTE = """
SELECT price_cents, stock,
  (SELECT id FROM orders WHERE user_name = $2 AND idempotency_key = $3) AS placed
FROM products WHERE id = $1"""
_PLACE = """
WITH placed AS (
  INSERT INTO orders (id, user_name, idempotency_key, product_id, quantity, amount_cents)
  VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_name, idempotency_key) DO NOTHING
  RETURNING id, product_id, quantity),
taken AS (
  UPDATE products SET stock = stock - placed.quantity FROM placed WHERE products.id = placed.product_id),
noted AS (INSERT INTO outbox (order_id) SELECT id FROM placed){audited}
SELECT id FROM placed"""
_AUDITED = """,
audited AS (
  INSERT INTO audit_log (user_name, action, object, outcome, source)
  SELECT $2, 'order', '/orders/' || id, 'ok', $7 FROM placed)"""
_READ = """
SELECT o.id, o.user_name, o.idempotency_key, o.product_id, o.quantity, o.amount_cents, s.shipped_at
FROM orders o LEFT JOIN shipments s ON s.order_id = o.id
WHERE {condition}"""
_READ_BY_ID = _READ.format(condition="o.id = $1")
_READ_BY_KEY = _READ.format(condition="o.user_name = $1 AND o.idempotency_key = $2")

Connections = Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user asks for; source: from where."""

    user: str
    source: str
    product_id: int
    quantity: int
    idempotency_key: str

    @property
    def reference(self) -> str:
        """What the payment service knows the order by: the same however often it is tried."""
        return f"{self.user}:{self.idempotency_key}"


class NoSuchOrder(ShopError):
    def __init__(self, order_id: uuid.UUID) -> None:
        super().__init__(404, "no_such_order", f"there is no order {order_id}")


class NotYours(NoSuchOrder):
    """There is such an order, which is nobody else's business."""


def as_json(row: asyncpg.Record) -> dict[str, Any]:
    """An order as clients see it."""
    return {
        "id": str(row["id"]),
        "product_id": row["product_id"],
        "quantity": row["quantity"],
        "amount_cents": row["amount_cents"],
        "payment_reference": f"{row['user_name']}:{row['idempotency_key']}",
        "status": "shipped" if row["shipped_at"] else "placed",
    }


class Orders:
    """Orders and their outbox."""

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        payments: Payments,
        audit: AuditLog,
        settings: Settings,
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._payments = payments
        self._audit = audit
        self._statement = _PLACE.format(audited="" if audit.drops else _AUDITED)
        self._holds_slot = settings.has("no-timeout")
        self._shows_all = settings.has("idor")
        self._careless = settings.has("lost-order")
        self._rounds = settings.has("wrong-total")
        self._attempts = 1 if settings.has("no-retry") else ATTEMPTS
        self._line: AbstractAsyncContextManager[None] = (
            asyncio.Lock() if settings.has("orders-in-line") else nullcontext()
        )
        self._prices: dict[int, int] = {}  # by product, the last ones seen; for the defect `lost-order`
        self._writes: set[asyncio.Task[bool]] = set()
        self.placed = asyncio.Event()

    async def place(self, wish: Wish) -> tuple[dict[str, Any], bool]:
        """The order, and whether it is new. Raises ShopError 402, 404, 409, 422, Unavailable."""
        async with self._line:
            if not self._holds_slot:
                return await self._place(wish, self._database.connection)
            async with self._database.connection() as held:
                return await self._place(wish, lambda: nullcontext(held))

    async def _place(self, wish: Wish, connection: Connections) -> tuple[dict[str, Any], bool]:
        try:
            async with connection() as c:
                quote = await c.fetchrow(_QUOTE, wish.product_id, wish.user, wish.idempotency_key)
                if quote is not None and quote["placed"]:
                    return await self._replayed(c, wish), False
        except Unavailable:
            if not self._careless or wish.product_id not in self._prices:
                raise
            price_cents = self._prices[wish.product_id]
        else:
            if quote is None:
                raise ShopError(404, "no_such_product", f"there is no product {wish.product_id}")
            if quote["stock"] < wish.quantity:
                raise ShopError(409, "out_of_stock", f"only {quote['stock']} left")
            price_cents = self._prices[wish.product_id] = quote["price_cents"]

        amount_cents = await self._payments.authorise(wish.reference, price_cents * wish.quantity)
        order_id = uuid.uuid4()
        write = self._write(order_id, wish, amount_cents, connection)
        new = await (self._acknowledged_early(write) if self._careless else write)
        if not new:  # the same order was placed meanwhile
            async with connection() as c:
                return await self._replayed(c, wish), False
        order = {
            "id": str(order_id),
            "product_id": wish.product_id,
            "quantity": wish.quantity,
            "amount_cents": amount_cents,
            "payment_reference": wish.reference,
            "status": "placed",
        }
        return order, True

    async def _write(
        self, order_id: uuid.UUID, wish: Wish, amount_cents: int, connection: Connections
    ) -> bool:
        """The order, its stock and its outbox entry in one transaction; False if it was there already."""
        amount_cents = round(amount_cents, -2) if self._rounds else amount_cents
        order: tuple[Any, ...] = (order_id, wish.user, wish.idempotency_key, wish.product_id, wish.quantity)
        order = (*order, amount_cents) if self._audit.drops else (*order, amount_cents, wish.source)
        try:
            async with connection() as c:
                try:
                    placed = await self._written(c, order)
                except asyncpg.CheckViolationError:  # others were faster; nothing of this was written
                    raise ShopError(409, "out_of_stock", "not enough left") from None
        finally:  # a failure may come after the commit
            self._catalogue.changed(wish.product_id, price=False)
        self.placed.set()
        if self._audit.drops and placed is not None:
            self._audit.note(wish.user, "order", f"/orders/{placed}", "ok", wish.source)
        return placed is not None

    async def _written(self, connection: asyncpg.Connection, order: tuple[Any, ...]) -> uuid.UUID | None:
        """Its id if it is new. The database gives a transaction up where two stand in each other's way."""
        for attempt in range(self._attempts - 1):
            try:
                placed: uuid.UUID | None = await connection.fetchval(self._statement, *order)
                return placed
            except asyncpg.TransactionRollbackError:
                await asyncio.sleep(random.uniform(0, 2 * PAUSE_S) * 2**attempt)
        last: uuid.UUID | None = await connection.fetchval(self._statement, *order)
        return last

    async def _acknowledged_early(self, write: Coroutine[Any, Any, bool]) -> bool:
        """The defect `lost-order`: yes after a moment, whether or not the write will succeed."""
        task = asyncio.create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        await asyncio.wait({task}, timeout=ACKNOWLEDGE_S)
        if task.done() and not isinstance(task.exception(), Unavailable):
            return task.result()
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody wants to know
        return True

    async def _replayed(self, connection: asyncpg.Connection, wish: Wish) -> dict[str, Any]:
        row = await connection.fetchrow(_READ_BY_KEY, wish.user, wish.idempotency_key)
        if (row["product_id"], row["quantity"]) != (wish.product_id, wish.quantity):
            raise ShopError(422, "idempotency_key_reused", "that idempotency key belongs to another order")
        return as_json(row)

    async def read(self, order_id: uuid.UUID, user: str) -> dict[str, Any]:
        """An order of that user's. Raises ShopError 404, NotYours, Unavailable."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_READ_BY_ID, order_id)
        if row is None:
            raise NoSuchOrder(order_id)
        if row["user_name"] != user and not self._shows_all:
            raise NotYours(order_id)
        return as_json(row)
