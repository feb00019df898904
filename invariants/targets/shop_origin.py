"""What the shop's database is asked for, when many want the same at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from invariants.targets.http import HttpClient
from invariants.targets.shop_base import Database, Shop, where
from invariants.targets.shop_products import PRODUCTS

QUERIES = {
    "a": "%FROM reviews WHERE product_id%",
    "b": "SELECT id, name, price_cents, stock FROM products WHERE id = $1",
}
"""What the database is asked for each key: the reviews of a product, and the product itself."""

_CALLS = """
SELECT extract(epoch FROM now() - query_start)::float8,
  CASE state WHEN 'active' THEN 0 ELSE extract(epoch FROM now() - state_change) END::float8
FROM pg_stat_activity WHERE usename = 'shop' AND query LIKE %s AND query_start >= %s"""


@dataclass
class ShopOrigin(Shop):
    """Each session of the database tells what it was asked last. The shop uses its ten sessions in turn, so
    that of short sequences no call is overwritten by a later one."""

    used_before = False

    database: Database = field(default_factory=Database, init=False, repr=False, compare=False)
    _next: Iterator[int] = field(
        default_factory=lambda: itertools.cycle(PRODUCTS), init=False, repr=False, compare=False
    )
    began: dict[str, tuple[int, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By scope: the product, and the database's time when it began."""

    def prepare(self, scope: str) -> None:
        ((now,),) = self.database.rows("SELECT clock_timestamp()")
        self.began[scope] = next(self._next), now

    def connect(self, scope: str) -> OriginClient:
        return OriginClient(self, *self.began[scope])

    def forget(self, scope: str) -> None:
        self.began.pop(scope, None)


class OriginClient:
    def __init__(self, shop: ShopOrigin, product: int, began: Any) -> None:
        self._shop, self._product, self._began = shop, product, began
        self._http = HttpClient(where("SHOP_URL"))

    def get(self, key: str) -> None:
        path = f"/products/{self._product}"
        self._http.ask("GET", f"{path}/reviews" if key == "a" else path)

    def origin_calls(self) -> list[dict[str, Any]]:
        told = []
        for key, query in QUERIES.items():
            now_s = self._shop.clock()
            for started_s, ended_s in self._shop.database.rows(_CALLS, query, self._began):
                told.append({"key": key, "start_s": now_s - started_s, "end_s": now_s - ended_s, "ok": True})
        return told

    def close(self) -> None:
        self._http.close()
