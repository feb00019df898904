"""Each planted defect is shown by its fault, and the healthy shop shows none of them.

`shows` of each case is True when the defect is seen; it leaves the shop without faults.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

LONG_ENOUGH_S = 4  # for a healthy shop to come back; it needs one to two seconds


def breaker_stuck_open(shop, until) -> bool:
    with shop.down("payments"):
        assert until(lambda: shop.order().status_code == 503 and shop.part("payments")["breaker"] == "open")
    return not until(shop.orders_work, LONG_ENOUGH_S)


def no_timeout(shop, until) -> bool:
    def gives_up_after_2_s(path: str) -> bool:
        try:
            shop.http.get(path, timeout=2)
        except httpx.TimeoutException:
            return True
        return False

    def order(_: int) -> int | None:
        try:
            return shop.http.post("/orders", json=body, headers=headers, timeout=2).status_code
        except httpx.TimeoutException:
            return None

    body, headers = {"product_id": 1, "quantity": 1}, shop.login("alice")
    with shop.toxic("payments", "timeout", timeout=0), ThreadPoolExecutor(15) as pool:
        hung = list(pool.map(order, range(15))).count(None) > 0
        return hung and gives_up_after_2_s("/products/2")  # which has nothing to do with payments


def cache_required(shop, until) -> bool:
    with shop.down("cache"):
        statuses = {shop.http.get(path).status_code for path in ("/products", "/products/1")}
    assert until(lambda: shop.http.get("/products").status_code == 200)
    assert statuses <= {200, 500}
    return 500 in statuses


def lost_order(shop, until) -> bool:
    assert shop.order(product_id=4).status_code == 201
    with shop.down("postgres"):
        acknowledged = [r.json()["id"] for r in (shop.order(product_id=4) for _ in range(3)) if r.is_success]
    assert until(shop.orders_work)
    return any(shop.read_order(order_id).status_code == 404 for order_id in acknowledged)


def double_charge(shop, until) -> bool:
    key = f"double-{time.monotonic()}"
    with shop.toxic("payments", "latency", latency=400):
        shop.order(idempotency_key=key)
    assert until(shop.orders_work)
    assert until(lambda: len(shop.charges(f"alice:{key}")) > 0)
    return len(shop.charges(f"alice:{key}")) > 1


def stale_cache(shop, until) -> bool:
    price = shop.http.get("/products/6").json()["price_cents"] + 1
    shop.http.put("/products/6", json={"price_cents": price}, headers=shop.login("mia")).raise_for_status()
    return bool(shop.http.get("/products/6").json()["price_cents"] != price)


def leaky_pool(shop, until) -> bool:
    with shop.down("postgres"), ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: shop.order(), range(20)))
    return not until(shop.orders_work, LONG_ENOUGH_S)


def no_pool(shop, until) -> bool:
    with admin(shop, "postgres") as database:
        database.execute("ALTER DATABASE shop ALLOW_CONNECTIONS false")
        try:
            return {shop.order().status_code for _ in range(5)} == {503}
        finally:
            database.execute("ALTER DATABASE shop ALLOW_CONNECTIONS true")


def stale_connections(shop, until) -> bool:
    assert shop.order().status_code == 201
    with admin(shop) as database:
        database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")
    return not until(lambda: all(shop.orders_work() for _ in range(5)), LONG_ENOUGH_S)


def no_retry(shop, until) -> bool:
    with admin(shop) as database:
        database.execute(
            "CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF random() < 0.3 THEN"
            " RAISE EXCEPTION 'collided' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$"
        )
        database.execute(
            "CREATE TRIGGER collide BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION collide()"
        )
        try:
            return [shop.order().status_code for _ in range(60)].count(503) > 6  # 0.5 expected, or 18
        finally:
            database.execute("DROP FUNCTION collide CASCADE")


def orders_in_line(shop, until) -> bool:
    with admin(shop) as database, ThreadPoolExecutor(1) as pool, database.transaction():
        database.execute("UPDATE products SET stock = stock WHERE id = 7")
        waiting = pool.submit(shop.order, product_id=7)
        assert until(lambda: blocked(shop) == 1)
        started = time.monotonic()
        assert shop.order(product_id=8).status_code == 201
        overtook = not waiting.done()
        assert waiting.result().status_code == 503
        return not overtook and time.monotonic() - started < LONG_ENOUGH_S


def reviews_uncached(shop, until) -> bool:
    assert shop.http.get("/products/7/reviews").json()["reviews"] > 0
    with admin(shop) as database, database.transaction():
        database.execute("LOCK TABLE reviews")
        return {shop.http.get("/products/7/reviews").status_code for _ in range(3)} == {503}


def admin(shop, database: str = "shop") -> psycopg.Connection:
    """A session of the superuser."""
    unlimited = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
    return psycopg.connect(**shop.role("postgres"), dbname=database, autocommit=True, options=unlimited)


def blocked(shop) -> int:
    with admin(shop) as database:
        row = database.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted").fetchone()
    assert row is not None
    return int(row[0])


def trusts_cache(shop, until) -> bool:
    with shop.cache() as cache:
        shop.http.get("/products").raise_for_status()
        for key in cache.scan_iter("shop:*"):
            cache.set(key, b"nonsense", ex=2)
    status = shop.http.get("/products").status_code
    assert until(lambda: shop.http.get("/products").status_code == 200)
    return bool(status == 500)


def cache_as_store(shop, until) -> bool:
    shop.http.get("/products").raise_for_status()
    with shop.cache() as cache:
        cache.flushall()
    return bool(shop.http.get("/products").status_code == 404)


def connects_once(shop, until) -> bool:
    shop.http.get("/products").raise_for_status()
    with shop.cache() as cache:
        cache.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert until(lambda: len(cache.client_list()) == 1)
    return bool(shop.http.get("/products").status_code == 500)


CASES: dict[str, Callable[..., bool]] = {
    "breaker-stuck-open": breaker_stuck_open,
    "no-timeout": no_timeout,
    "cache-required": cache_required,
    "lost-order": lost_order,
    "double-charge": double_charge,
    "stale-cache": stale_cache,
    "trusts-cache": trusts_cache,
    "cache-as-store": cache_as_store,
    "connects-once": connects_once,
    "leaky-pool": leaky_pool,
    "no-pool": no_pool,
    "stale-connections": stale_connections,
    "no-retry": no_retry,
    "orders-in-line": orders_in_line,
    "reviews-uncached": reviews_uncached,
}


@pytest.mark.parametrize("defect", CASES)
def test_the_healthy_shop_does_not_show_it(shop, until, defect):
    assert not CASES[defect](shop, until)
    assert until(shop.orders_work)


@pytest.mark.parametrize("defect", CASES)
def test_the_defect_is_shown_by_its_fault_and_only_by_it(start_shop, until, defect):
    shop = start_shop(defect)
    behaves_without_faults(shop, until)
    assert CASES[defect](shop, until)


def behaves_without_faults(shop, until) -> None:
    with ThreadPoolExecutor(6) as pool:
        orders = [reply.json() for reply in pool.map(lambda n: shop.order(), range(30))]
        assert all(reply.is_success for reply in pool.map(lambda n: shop.http.get("/products"), range(30)))
        assert all(shop.read_order(order["id"]).status_code == 200 for order in orders)
    assert shop.order(idempotency_key="again").json() == shop.order(idempotency_key="again").json() | {
        "status": "placed"
    }
    assert until(lambda: shop.sql("SELECT count(*) FROM outbox") == 0)
    assert shop.sql("SELECT count(*) FROM shipments") == 31
    assert all(len(shop.charges(order["payment_reference"])) == 1 for order in orders)
    assert all(part["ok"] for part in shop.http.get("/health/ready").json()["parts"].values())
