"""Prices of the shop, which are read through its cache."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from invariants.machine import NoAnswer, Refused
from invariants.targets.http import HttpClient
from invariants.targets.shop_base import Shop, where

PRODUCTS = range(11, 51)
"""Others are looked at and ordered elsewhere."""

BAND = 1000
"""Prices from one multiple of it to the next belong to one sequence."""


@dataclass
class ShopPrices(Shop):
    """Each key is a product of its own, whose price is in the cache when it is used for the first time."""

    used_before = False

    _next: Iterator[int] = field(
        default_factory=lambda: itertools.cycle(PRODUCTS), init=False, repr=False, compare=False
    )
    _products: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)
    _naming: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def connect(self, scope: str) -> PriceClient:
        return PriceClient(self, scope)

    def forget(self, scope: str) -> None:
        self._products = {
            name: product for name, product in self._products.items() if not name.startswith(f"{scope}/")
        }

    def product(self, scope: str, key: str, http: HttpClient) -> int:
        """Raises Refused, NoAnswer."""
        with self._naming:
            name = f"{scope}/{key}"
            if name not in self._products:
                product = next(self._next)
                http.ask("GET", f"/products/{product}")
                self._products[name] = product
            return self._products[name]


class PriceClient:
    def __init__(self, shop: ShopPrices, scope: str) -> None:
        self._shop, self._scope = shop, scope
        self._http = HttpClient(where("SHOP_URL"))
        self._band = BAND * (1 + crc32(scope.encode()) % 9000)

    def write(self, key: str, value: int) -> None:
        """value: from 0 to 999."""
        product = self._shop.product(self._scope, key, self._http)
        price = {"price_cents": self._band + value}
        answer = self._shop.send_as("mia", self._http, "PUT", f"/products/{product}", price)
        if not answer.good:
            refused = answer.status < 500
            raise (Refused if refused else NoAnswer)(str(answer))  # a 503 may come after the commit

    def read(self, key: str) -> int | None:
        """None: the price is not one of this sequence."""
        product = self._shop.product(self._scope, key, self._http)
        found: dict[str, Any] = self._http.ask("GET", f"/products/{product}")
        value = int(found["price_cents"]) - self._band
        return value if 0 <= value < BAND else None

    def close(self) -> None:
        self._http.close()
