"""What customers ask of the shop, by its route; a breaker before the payments; requests that wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import uuid4

from chaos_locust.injection import Injection, inject
from invariants.machine import Refused
from invariants.targets.http import Answer, HttpClient
from invariants.targets.shop_base import (
    PROBED,
    Database,
    Shop,
    fault_targets,
    proxy_api,
    slots_in_use,
    until,
    where,
)

REVIEWS = f"GET /products/{PROBED}/reviews"
ORDER = "POST /orders"
READS = ("GET /products", f"GET /products/{PROBED}", REVIEWS)

MANY = 20
MANY_ORDERS = f"{MANY} x POST /orders"
GIVEN_UP = 5
"""So many of them may fail. Where the database gives up every other, and each is tried four times, more fail
once in 900 times; without another try in 49 of 50."""


@dataclass
class ShopRequests(Shop):
    """inputs: what is asked for. Each was asked for once before, so that all caches are filled.
    answer_limit_s: so long the client waits."""

    inputs: tuple[str, ...] = (*READS, ORDER)
    answer_limit_s: float = 10.0

    @property
    def probes(self) -> tuple[str, ...]:
        return self.inputs

    def connect(self, scope: str) -> RequestClient:
        return RequestClient(self, self.answer_limit_s)

    def prepare(self, scope: str) -> None:
        client = self.connect(scope)
        for value in self.inputs:
            client.request(value)
        client.close()


class RequestClient:
    def __init__(self, shop: Shop, answer_limit_s: float) -> None:
        self._shop, self._http = shop, HttpClient(where("SHOP_URL"), answer_limit_s)

    def request(self, value: str) -> None:
        """Raises Refused for every answer that is not good, NoAnswer."""
        if value == MANY_ORDERS:
            failed = [answer for answer in (self._order() for _ in range(MANY)) if not answer.good]
            if len(failed) > GIVEN_UP:
                raise Refused(f"{len(failed)} of {MANY}: {failed[0]}")
            return
        method, path = value.split()
        answer = self._order() if value == ORDER else self._http.send(method, path)
        if not answer.good:
            raise Refused(str(answer))

    def held(self) -> int:
        """Database slots that are in use. Raises Refused, NoAnswer."""
        return slots_in_use(self._http)

    def close(self) -> None:
        self._http.close()

    def _order(self) -> Answer:
        return self._shop.order(self._http, PROBED, uuid4().hex)


@dataclass
class ShopBreaker(Shop):
    """Calls are orders, and the dependency is the payment service, which is broken by cutting its link."""

    _cut: dict[str, Injection] = field(default_factory=dict, init=False, repr=False, compare=False)

    def connect(self, scope: str) -> BreakerClient:
        return BreakerClient(self, scope)

    def forget(self, scope: str) -> None:
        self.mend(scope)

    def cut(self, scope: str) -> None:
        """Raises ChaosError."""
        with self._lock:
            if scope not in self._cut:
                cut = inject(
                    "down",
                    target="payments",
                    targets={"payments": fault_targets()["payments"]},
                    proxy_api=proxy_api(),
                    **{"for": "10min"},
                )
                cut.__enter__()
                self._cut[scope] = cut

    def mend(self, scope: str) -> None:
        """Raises ChaosError."""
        with self._lock:
            cut = self._cut.pop(scope, None)
            if cut is not None:
                cut.__exit__(None, None, None)


class BreakerClient:
    def __init__(self, shop: ShopBreaker, scope: str) -> None:
        self._shop, self._scope = shop, scope
        self._http = HttpClient(where("SHOP_URL"))

    def call(self) -> None:
        answer = self._shop.order(self._http, PROBED, uuid4().hex)
        if answer.good:
            return
        detail = str((answer.json() or {}).get("detail", ""))
        raise Refused("open" if "breaker" in detail and "is open" in detail else str(answer))

    def break_dependency(self) -> None:
        self._shop.cut(self._scope)

    def heal_dependency(self) -> None:
        self._shop.mend(self._scope)

    def close(self) -> None:
        self._http.close()


_WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop' AND wait_event_type = 'Lock'"""


@dataclass
class ShopQueues(Shop):
    """An order of the product `slow` has to wait while its row is locked; one of another product has not."""

    slow: int = 7
    database: Database = field(default_factory=Database, init=False, repr=False, compare=False)

    def connect(self, scope: str) -> WaitingClient:
        return WaitingClient(self)


class WaitingClient:
    def __init__(self, shop: ShopQueues) -> None:
        self._shop = shop
        self._http, self._other = HttpClient(where("SHOP_URL")), HttpClient(where("SHOP_URL"))

    def overtake(self) -> bool | None:
        """Whether a request was answered while an earlier one had to wait; None: none had to."""
        shop = self._shop
        shop.headers("alice")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(shop.order, self._other, shop.slow, uuid4().hex)
            until(lambda: waiting.done() or self._waits(), 5.0)
            if waiting.done():
                waiting.result()
                return None
            shop.order(self._http, PROBED, uuid4().hex)  # a refusal is an answer, too
            overtook = self._waits()  # as the database sees it: our own threads may be late
            waiting.result()
            return overtook

    def close(self) -> None:
        self._http.close()
        self._other.close()

    def _waits(self) -> bool:
        ((count,),) = self._shop.database.rows(_WAITING)
        return int(count) > 0
