"""Products, with the cache in front of the database.

What is cached is found under a name that holds a generation. A change of a product takes the next
generation, and what was cached before is never asked for again: no deletion can be lost, nor overtaken by
a slow reader that still holds the old row. That suffices where one process makes all the changes. Where there
are several, the others know of a change TTL_S later at the latest; orders go by what the database says.
"""

from __future__ import annotations

import asyncio
import json
import uuid
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError

from chaos_locust.demo.breaker import Breaker
from chaos_locust.demo.logins import way_to_cache
from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.audit import AuditLog
from chaos_locust.demo.shop.database import Database
from chaos_locust.demo.shop.errors import ShopError

CALL_S = 0.05  # for each answer of the cache
ANSWERS = 2  # of a command on a new connection: it has to log in first
TTL_S = 2
STALE_TTL_S = 60  # with the defects `stale-cache` and `leftovers-after-erasure`
STORE_TTL_S = 3600  # with the defect `cache-as-store`

_LIST = "SELECT id, name, price_cents FROM products ORDER BY id"
_ONE = "SELECT id, name, price_cents, stock FROM products WHERE id = $1"
_PRICE = """
WITH changed AS (
  UPDATE products SET price_cents = $2 WHERE id = $1 RETURNING id, name, price_cents, stock){audited}
SELECT * FROM changed"""
_AUDITED = """,
audited AS (
  INSERT INTO audit_log (user_name, action, object, outcome, source)
  SELECT $3, 'price_change', '/products/' || id, 'ok', $4 FROM changed)"""

T = TypeVar("T")


class CacheLost(ShopError):
    """The cache does not answer, or nonsense. Only with the defects `cache-required`, `connects-once` and
    `trusts-cache` does it reach a client."""

    def __init__(self, detail: str) -> None:
        super().__init__(500, "internal_error", detail)


class NotCached(ShopError):
    """What was cached is not there any more. Only with the defect `cache-as-store` does it reach a client."""

    def __init__(self, name: str) -> None:
        super().__init__(404, "not_found", f"{name} is not in the cache")


class Cache:
    """Values by name, or nothing; never an error, and little time lost on a cache that is gone."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        once = settings.has("connects-once")
        self._timeout_s = None if settings.has("no-timeout") or once else CALL_S
        self._required = settings.has("cache-required") or once
        self._connected: set[AbstractConnection] = set()  # for the defect `connects-once`
        self._trusting = settings.has("trusts-cache")
        self._is_store = settings.has("cache-as-store")
        self._stored: set[str] = set()  # for the defect `cache-as-store`
        stale = settings.has("stale-cache") or settings.has("leftovers-after-erasure")
        self._ttl_s = STALE_TTL_S if stale else STORE_TTL_S if self._is_store else TTL_S
        way = way_to_cache(settings)
        self._client = Redis(
            host=way["host"],
            port=way["port"],
            username=way["user"] or None,
            password=way["password"] or None,
            protocol=2,
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            redis_connect_func=self._connects_once if once else None,
        )
        self.breaker = Breaker(failures_to_open=3, open_s=1, clock=clock)
        self._prefix = f"shop:{uuid.uuid4().hex}"  # a new process knows nothing of older generations

    async def get(self, name: str) -> bytes | None:
        was_stored = name in self._stored
        answer = await self._call(lambda: self._fetch(name))
        if answer is None:
            return None
        (value,) = answer
        if value is None and was_stored:
            raise NotCached(name)
        if self._trusting and value is not None:
            return self._taken(value[8:])
        # A cache may be corrupted; what is not what was put there counts as missing.
        if value is None or value[:8] != b"%08x" % zlib.crc32(value[8:]):
            return None
        return value[8:]

    async def put(self, name: str, value: bytes) -> None:
        sealed = b"%08x" % zlib.crc32(value) + value
        done = await self._call(lambda: self._client.set(f"{self._prefix}:{name}", sealed, ex=self._ttl_s))
        if self._is_store and done:
            self._stored.add(name)

    async def forget(self, name: str) -> None:
        """If it does not answer: it forgets by itself, after its time."""
        await self._call(lambda: self._client.delete(f"{self._prefix}:{name}"))

    async def _fetch(self, name: str) -> tuple[bytes | None]:
        """What is there, or nothing: not the same as no answer."""
        value = await self._client.get(f"{self._prefix}:{name}")
        return (value if isinstance(value, bytes) else None,)

    async def _connects_once(self, connection: AbstractConnection) -> None:
        """The defect `connects-once`."""
        if connection in self._connected:
            raise Disconnected("it was lost")
        self._connected.add(connection)
        await connection.on_connect()

    def _taken(self, value: bytes) -> bytes:
        """The defect `trusts-cache`."""
        try:
            json.loads(value)
        except ValueError as error:
            raise CacheLost(type(error).__name__) from error
        return value

    async def ping(self) -> bool:
        """Whether it answers, asked whatever the breaker says."""
        try:
            async with asyncio.timeout(CALL_S * 4):
                return bool(await self._client.ping())
        except (RedisError, OSError, TimeoutError):
            return False

    async def _call(self, command: Callable[[], Awaitable[T]]) -> T | None:
        if not self._required and not self.breaker.allows():
            return None
        try:
            async with asyncio.timeout(self._timeout_s and ANSWERS * self._timeout_s):
                result = await command()
        except (RedisError, OSError, TimeoutError) as error:
            self.breaker.failed()
            if self._required:
                raise CacheLost(type(error).__name__) from error
            return None
        self.breaker.succeeded()
        return result

    async def close(self) -> None:
        await self._client.aclose()


class Catalogue:
    """Products as JSON bodies, ready to be sent."""

    def __init__(self, database: Database, cache: Cache, audit: AuditLog, settings: Settings) -> None:
        self._database = database
        self._audit = audit
        self._cache = cache
        self._stale = settings.has("stale-cache")
        self._generations: defaultdict[str, int] = defaultdict(int)
        self._loading: dict[str, asyncio.Task[bytes | None]] = {}

    async def products(self) -> bytes:
        """All products: id, name, price_cents."""
        body = await self._read("products", self._load_all)
        assert body is not None
        return body

    async def product(self, product_id: int) -> bytes:
        """One product, with its stock. Raises ShopError 404."""
        body = await self._read(f"product:{product_id}", lambda: self._load_one(product_id))
        if body is None:
            raise ShopError(404, "no_such_product", f"there is no product {product_id}")
        return body

    async def set_price(self, product_id: int, price_cents: int, user: str, source: str) -> bytes:
        """Change a price; returns the product. Raises ShopError 404."""
        beside = self._audit.drops
        who = () if beside else (user, source)
        statement = _PRICE.format(audited="" if beside else _AUDITED)
        try:
            async with self._database.connection() as connection:
                row = await connection.fetchrow(statement, product_id, price_cents, *who)
        finally:  # a failure may come after the commit
            self.changed(product_id)
        if row is None:
            raise ShopError(404, "no_such_product", f"there is no product {product_id}")
        if beside:
            self._audit.note(user, "price_change", f"/products/{product_id}", "ok", source)
        return json.dumps(dict(row)).encode()

    def changed(self, product_id: int, price: bool = True) -> None:
        """To be said after each change, before it is acknowledged. The list shows no stock."""
        if not self._stale:
            self._generations[f"product:{product_id}"] += 1
            self._generations["products"] += price

    async def _read(self, name: str, load: Callable[[], Awaitable[bytes | None]]) -> bytes | None:
        versioned = f"{name}:{self._generations[name]}"
        cached = await self._cache.get(versioned)
        if cached is not None:
            return cached
        # All that miss the same thing at once share one look into the database.
        task = self._loading.get(versioned)
        if task is None:
            task = asyncio.create_task(self._fill(versioned, load))
            self._loading[versioned] = task
            task.add_done_callback(lambda _: self._loading.pop(versioned))
        return await asyncio.shield(task)

    async def _fill(self, versioned: str, load: Callable[[], Awaitable[bytes | None]]) -> bytes | None:
        body = await load()
        if body is not None:
            await self._cache.put(versioned, body)
        return body

    async def _load_all(self) -> bytes:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_LIST)
        return json.dumps({"products": [dict(row) for row in rows]}).encode()

    async def _load_one(self, product_id: int) -> bytes | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_ONE, product_id)
        return json.dumps(dict(row)).encode() if row else None
