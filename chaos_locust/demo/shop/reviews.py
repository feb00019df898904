"""What is said of products: summed up now and then, and shown as it was while it is summed up anew.

To sum them up is the shop's heaviest question to its database, and nobody minds an answer of a moment ago.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.database import Database
from chaos_locust.demo.shop.errors import ShopError

FRESH_S = 2
SHOWN_S = 60  # so old it is shown at most

_SUM = """
SELECT (SELECT id FROM products WHERE id = $1) AS product, count(*) AS reviews, avg(stars)::float8 AS stars,
  (SELECT avg(written)::float8 FROM (
    SELECT (SELECT count(*) FROM reviews every WHERE every.author = newest.author) AS written
    FROM reviews newest WHERE product_id = $1 ORDER BY id DESC LIMIT 100) by_author) AS reviews_by_author
FROM reviews WHERE product_id = $1 AND author NOT IN (SELECT author FROM blocked_authors)"""


@dataclass(frozen=True, slots=True)
class _Known:
    body: bytes
    at_s: float


class Reviews:
    """The sum of a product's reviews as JSON bodies, ready to be sent."""

    def __init__(self, database: Database, settings: Settings, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._always = settings.has("reviews-uncached")
        self._known: dict[int, _Known] = {}
        self._summing: dict[int, asyncio.Task[bytes]] = {}

    async def of(self, product_id: int) -> bytes:
        """product, reviews, stars, reviews_by_author: of those who wrote the newest.

        Raises ShopError 404, Unavailable.
        """
        if self._always:
            return await self._sum(product_id)
        known = self._known.get(product_id)
        age_s = float("inf") if known is None else self._clock() - known.at_s
        if known is not None and age_s < FRESH_S:
            return known.body
        summing = self._summing.get(product_id)
        if summing is None:
            summing = self._summing[product_id] = asyncio.create_task(self._sum(product_id))
            summing.add_done_callback(lambda done: self._ended(product_id, done))
        return known.body if known is not None and age_s < SHOWN_S else await asyncio.shield(summing)

    def _ended(self, product_id: int, done: asyncio.Task[bytes]) -> None:
        self._summing.pop(product_id)
        if not done.cancelled() and done.exception() is None:
            self._known[product_id] = _Known(done.result(), self._clock())

    async def _sum(self, product_id: int) -> bytes:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SUM, product_id)
        if row["product"] is None:
            raise ShopError(404, "no_such_product", f"there is no product {product_id}")
        return json.dumps(dict(row)).encode()
