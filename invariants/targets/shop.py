"""The demo shop (`chaos-locust demo serve`) as a target: which invariants hold for it, under which faults.

Where it is, the environment says, as in the plans that are shipped; by default it is on its default ports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos_locust.faults.registry import KINDS
from invariants.bindings import Bound
from invariants.targets.shop_base import fault_targets, proxy_api
from invariants.targets.shop_orders import ShopPayments, ShopQueue, ShopTransactions
from invariants.targets.shop_origin import ShopOrigin
from invariants.targets.shop_products import ShopPrices
from invariants.targets.shop_requests import (
    MANY_ORDERS,
    ORDER,
    READS,
    ShopBreaker,
    ShopQueues,
    ShopRequests,
)
from invariants.targets.shop_tokens import ShopTokens

Fault = dict[str, Any]


def faults(name: str, *given: Fault) -> Mapping[str, Any]:
    """A plan that has nothing but faults. When they act is the sequence's business."""
    targets = {each["target"]: fault_targets()[each["target"]] for each in given}
    needed = [{"at": "0s"} | ({} if KINDS[each["kind"]].instant else {"for": "1s"}) | each for each in given]
    return {"name": name, "proxy_api": proxy_api(), "targets": targets, "faults": needed}


CACHE_DOWN = {"name": "cache-down", "kind": "down", "target": "cache-link"}
CACHE_SPOILED = {"name": "cache-spoiled", "kind": "redis_corrupt", "target": "cache", "keys": "shop:*"}
CACHE_FLUSHED = {"name": "cache-flushed", "kind": "redis_flush", "target": "cache", "keys": "shop:*"}
CACHE_DISCONNECTS = {
    "name": "cache-disconnects",
    "kind": "redis_disconnect",
    "target": "cache",
    "every": "200ms",
}
NO_NEWCOMERS = {"name": "no-newcomers", "kind": "postgres_exhaust_connections", "target": "database"}
REVIEWS_LOCKED = {
    "name": "reviews-locked",
    "kind": "postgres_lock_table",
    "target": "database",
    "table": "reviews",
}
ORDERS_COLLIDE = {
    "name": "orders-collide",
    "kind": "postgres_serialization_failures",
    "target": "database",
    "table": "orders",
    "share": "50%",
}
DATABASE_AWAY = {"name": "database-away", "kind": "postgres_unavailable", "target": "database"}
PRODUCT_LOCKED = {
    "name": "product-locked",
    "kind": "postgres_lock_row",
    "target": "database",
    "table": "products",
    "key": "id",
    "value": ShopQueues.slow,
}
PAYMENTS_SLOW = {"name": "payments-slow", "kind": "latency", "target": "payments", "latency": "400ms"}
PAYMENTS_HANG = {"name": "payments-hang", "kind": "timeout", "target": "payments"}
IDENTITY_DOWN = {"name": "identity-down", "kind": "down", "target": "identity"}

BINDINGS: Mapping[str, Bound] = {
    "circuit_breaker_never_stuck_open": Bound(
        ShopBreaker(), options={"timeout_s": 1.0, "grace_s": 1.0}, iterations=8, budget_s=120
    ),
    "queue_never_loses_messages": Bound(
        ShopQueue(), note="give it a fault of PostgreSQL with --chaos-plan to see more"
    ),
    "transactions_are_atomic": Bound(
        ShopTransactions(), faults=faults("orders", DATABASE_AWAY), iterations=20, budget_s=120
    ),
    # A price is cached for 2 s, and stays so long where the cache did not hear that it is stale.
    "cache_stays_consistent": Bound(ShopPrices(), options={"stale_s": 2.5}, iterations=12),
    "one_miss_one_fetch": Bound(ShopOrigin(), concurrency=4),
    "latency_bounded": Bound(ShopRequests(), options={"limit_s": 1.0}, iterations=40),
    "error_rate_limited": Bound(ShopRequests(), iterations=40),
    "tasks_run_once": Bound(
        ShopPayments(), faults=faults("payments", PAYMENTS_SLOW), iterations=20, budget_s=120
    ),
    "requests_are_answered": Bound(
        ShopRequests(inputs=(*READS, MANY_ORDERS)),
        faults=faults(
            "what the shop bears",
            CACHE_DOWN,
            CACHE_SPOILED,
            CACHE_FLUSHED,
            CACHE_DISCONNECTS,
            NO_NEWCOMERS,
            REVIEWS_LOCKED,
            ORDERS_COLLIDE,
        ),
        iterations=60,
        budget_s=240,
    ),
    "requests_end_in_time": Bound(
        ShopRequests(answer_limit_s=3.0),
        options={"limit_s": 3.0},
        faults=faults("payments", PAYMENTS_HANG),
        iterations=20,
        budget_s=120,
    ),
    "service_recovers": Bound(
        ShopRequests(inputs=(ORDER,)),
        faults=faults("database", DATABASE_AWAY),
        iterations=12,
        budget_s=240,
    ),
    "nobody_waits_for_others": Bound(
        ShopQueues(), faults=faults("orders", PRODUCT_LOCKED), iterations=12, budget_s=120
    ),
    "tokens_are_checked": Bound(
        ShopTokens(), faults=faults("identity", IDENTITY_DOWN), iterations=30, budget_s=240
    ),
}
