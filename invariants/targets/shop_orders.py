"""Orders of the shop: a queue that it ships from, transactions of three parts, and what is paid for them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from invariants.machine import NoAnswer, Refused
from invariants.targets.http import Answer, HttpClient
from invariants.targets.shop_base import PROBED, Database, Shop, slots_in_use, until, upstream, where

COMES_S = 2.0
"""So long an acknowledged order may take until it is there."""

READABLE_S = 20.0

_ORDERS = """
SELECT o.idempotency_key, EXISTS (SELECT FROM shipments s WHERE s.order_id = o.id) AS shipped,
  EXISTS (SELECT FROM outbox w WHERE w.order_id = o.id) AS waits
FROM orders o WHERE o.user_name = 'alice' AND o.idempotency_key LIKE %s"""
_STOCK = """
SELECT (SELECT stock FROM products WHERE id = %s)
  + (SELECT coalesce(sum(quantity), 0) FROM orders WHERE product_id = %s),
  (SELECT json_object_agg(o.idempotency_key, EXISTS (SELECT FROM shipments s WHERE s.order_id = o.id)
     OR EXISTS (SELECT FROM outbox w WHERE w.order_id = o.id))
   FROM orders o WHERE o.user_name = 'alice' AND o.idempotency_key LIKE %s)"""


@dataclass
class _WithDatabase(Shop):
    database: Database = field(default_factory=Database, init=False, repr=False, compare=False)


@dataclass
class ShopQueue(_WithDatabase):
    """Each message is an order: accepted when it is acknowledged, taken when it was shipped. What is left in
    the end is what the shop's database still has to ship, or has shipped and nobody took."""

    sent: dict[str, set[int]] = field(default_factory=dict, init=False, repr=False, compare=False)
    taken: dict[str, set[int]] = field(default_factory=dict, init=False, repr=False, compare=False)
    taking: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def connect(self, scope: str) -> QueueClient:
        return QueueClient(self, scope)

    def prepare(self, scope: str) -> None:
        self.sent[scope], self.taken[scope] = set(), set()

    def forget(self, scope: str) -> None:
        self.sent.pop(scope, None)
        self.taken.pop(scope, None)


class _OrderClient:
    def __init__(self, shop: Shop, scope: str) -> None:
        self._shop, self._scope = shop, scope
        self._http = HttpClient(where("SHOP_URL"))

    def _place(self, key: str, product: int = PROBED) -> None:
        """Raises Refused where no order was made for certain."""
        refuse_unless_written(self._shop.order(self._http, product, f"{self._scope}-{key}"))

    def close(self) -> None:
        self._http.close()


def refuse_unless_written(answer: Answer) -> None:
    """What the shop's errors mean for what was to be written. Raises Refused, NoAnswer."""
    if answer.good:
        return
    refused = {"payments_unavailable", "identity_unavailable"}  # it stops before it writes
    error = (answer.json() or {}).get("error", "")
    if answer.status < 500 or (answer.status == 503 and error in refused):
        raise Refused(str(answer))
    raise NoAnswer(str(answer))  # 503 postgres_unavailable may come after the commit


class QueueClient(_OrderClient):
    _shop: ShopQueue

    def enqueue(self, message: int) -> None:
        self._place(f"{message}")
        self._shop.sent[self._scope].add(message)

    def dequeue(self) -> int | None:
        """One that was shipped."""
        with self._shop.taking:
            taken = self._shop.taken[self._scope]
            there = sorted(message for message, shipped, _ in self._orders() if shipped)
            message = next((each for each in there if each not in taken), None)
            taken |= set() if message is None else {message}
            return message

    def drain(self) -> list[int]:
        """All that nobody took: once for its shipment, and once more if it is still to be shipped too."""
        sent, taken = self._shop.sent[self._scope], self._shop.taken[self._scope]
        found: list[tuple[int, bool, bool]] = []

        def complete() -> bool:
            found[:] = self._orders()
            return sent <= {message for message, _, _ in found}

        until(self._readable, READABLE_S)
        until(complete, COMES_S)
        return [
            message
            for message, shipped, waits in found
            for _ in range((shipped and message not in taken) + waits)
        ]

    def _readable(self) -> bool:
        try:
            self._orders()
        except Refused:
            return False
        return True

    def _orders(self) -> list[tuple[int, bool, bool]]:
        """(message, whether it was shipped, whether it is to be shipped)"""
        rows = self._shop.database.rows(_ORDERS, f"{self._scope}-%")
        return [(int(key.rpartition("-")[2]), shipped, waits) for key, shipped, waits in rows]


@dataclass
class ShopTransactions(_WithDatabase):
    """A transaction is an order of three parts: its row, its entry among what is to be or was shipped, and
    what it takes from the stock. All parts are read by one statement."""

    product = PROBED + 1
    parts: dict[str, tuple[str, int, int]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """By a name of the sequence: the order's key, which part of it, the value."""
    totals: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def connect(self, scope: str) -> TransactionClient:
        return TransactionClient(self, scope)

    def prepare(self, scope: str) -> None:
        # Orders of this product have been taken before, too.
        http = HttpClient(where("SHOP_URL"))
        refuse_unless_written(self.order(http, self.product, f"{scope}-before"))
        http.close()
        self.totals[scope], _ = self.state(scope)

    def forget(self, scope: str) -> None:
        self.totals.pop(scope, None)
        self.parts = {name: each for name, each in self.parts.items() if not name.startswith(f"{scope}/")}

    def state(self, scope: str) -> tuple[int, dict[str, bool]]:
        """(stock and ordered together, key -> whether it is or was to be shipped). Raises Refused."""
        ((total, orders),) = self.database.rows(_STOCK, self.product, self.product, f"{scope}-%")
        return int(total), orders or {}


class TransactionClient(_OrderClient):
    _shop: ShopTransactions

    def transaction(self, values: dict[str, int]) -> None:
        key = "+".join(sorted(values))[:60]
        for place, (name, value) in enumerate(values.items()):
            self._shop.parts[f"{self._scope}/{name}"] = (f"{self._scope}-{key}", place % 3, value)
        self._place(key, self._shop.product)

    def read(self, names: list[str]) -> dict[str, int | None]:
        total, orders = self._shop.state(self._scope)
        # Where stock and orders do not add up any more, it is not known whose part of the stock is wrong.
        adds_up = total == self._shop.totals[self._scope]
        found: dict[str, int | None] = {}
        for name in names:
            key, part, value = self._shop.parts.get(f"{self._scope}/{name}", ("", 0, 0))
            there = (key in orders, orders.get(key, False), (key in orders) == adds_up)[part]
            found[name] = value if there and key else None
        return found


@dataclass
class ShopPayments(Shop):
    """Each task is an order; it is executed as often as the payment service has charged it."""

    def connect(self, scope: str) -> PaymentClient:
        return PaymentClient(self, scope)


class PaymentClient(_OrderClient):
    def request(self, task: int) -> None:
        answer = self._shop.order(self._http, PROBED, f"{self._scope}-{task}")
        if not answer.good:
            raise NoAnswer(str(answer))  # it may be charged all the same; without an order that lapses

    def work(self) -> bool:
        """The shop does it itself."""
        return False

    def executions(self) -> list[int]:
        until(lambda: slots_in_use(self._http) == 0, COMES_S)
        http = HttpClient(upstream("payments"))
        charges: list[dict[str, Any]] = http.ask("GET", "/charges")["charges"]
        http.close()
        prefix = f"alice:{self._scope}-"
        references = [each["reference"] for each in charges if each["reference"].startswith(prefix)]
        return [int(reference.removeprefix(prefix)) for reference in references]
