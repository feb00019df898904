"""What a healthy shop does, and that it holds out when what it depends on fails."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import jwt
import psutil
import pytest

DEPENDENCIES = ("postgres", "cache", "payments", "identity")


def test_the_ready_file_names_every_process(shop):
    names = {process["name"] for process in shop.ready["processes"]}
    assert names == {"shop", "proxy", *DEPENDENCIES}
    for process in shop.ready["processes"]:
        assert psutil.pid_exists(process["pid"])
        assert int(Path(process["pidfile"]).read_text()) == process["pid"]
    env = shop.ready["env"]
    assert env["SHOP_URL"] == shop.ready["shop"]
    assert env["PROXY_API"] == shop.ready["proxy_api"]


def test_the_shop_reaches_all_dependencies_through_the_proxy(shop):
    proxies = shop.api.get("/proxies").json()
    assert set(proxies) == set(DEPENDENCIES)
    for name in DEPENDENCIES:
        assert proxies[name]["upstream"] == shop.addresses[name]
        with shop.down(name):
            assert shop.part(name)["ok"] is False, name
    assert all(part["ok"] for part in shop.http.get("/health/ready").json()["parts"].values())


def test_only_the_right_password_logs_in(shop):
    good = shop.http.post("/login", json={"user": "alice", "password": "wonderland"})
    assert good.status_code == 200
    for user, password in (("alice", "wrong"), ("nobody", "wonderland")):
        assert shop.http.post("/login", json={"user": user, "password": password}).status_code == 401


def test_orders_need_a_valid_token(shop):
    body = {"product_id": 1, "quantity": 1}
    token = shop.login("alice")["Authorization"].split()[1]
    header, _, signature = token.split(".")
    kid = jwt.get_unverified_header(token)["kid"]
    content = jwt.decode(token, options={"verify_signature": False})
    forged = jwt.encode(content, "x" * 32, algorithm="HS256", headers={"kid": kid})
    other = jwt.encode({**content, "sub": "mia"}, None, algorithm="none").split(".")[1]
    for bad in ("", "Bearer", "Bearer x", f"Bearer {forged}", f"Bearer {header}.{other}.{signature}"):
        reply = shop.http.post("/orders", json=body, headers={"Authorization": bad})
        assert reply.status_code == 401, bad
    assert shop.http.post("/orders", json=body).status_code == 401


def test_an_order_takes_stock_is_charged_once_and_shipped_once(shop, until):
    before = shop.http.get("/products/7").json()
    reply = shop.order(product_id=7, quantity=3)
    assert reply.status_code == 201
    order = reply.json()
    assert order["amount_cents"] == 3 * before["price_cents"]
    assert shop.http.get("/products/7").json()["stock"] == before["stock"] - 3
    assert [c["amount_cents"] for c in shop.charges(order["payment_reference"])] == [order["amount_cents"]]
    assert until(lambda: shop.read_order(order["id"]).json()["status"] == "shipped")
    assert shop.sql(f"SELECT count(*) FROM shipments WHERE order_id = '{order['id']}'") == 1
    assert shop.read_order(order["id"], user="bob").status_code == 404
    assert shop.http.get(f"/orders/{order['id']}").status_code == 401


def test_the_same_idempotency_key_makes_one_order_however_often_it_is_sent(shop):
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda n: shop.order(idempotency_key=f"key-{n % 4}"), range(24)))
    assert {reply.status_code for reply in replies} <= {200, 201}
    assert len({reply.json()["id"] for reply in replies}) == 4
    assert sum(reply.status_code == 201 for reply in replies) == 4
    assert all(len(shop.charges(f"alice:key-{n}")) == 1 for n in range(4))
    assert shop.order(idempotency_key="key-0", product_id=2).status_code == 422


def test_every_order_is_shipped_and_nothing_stays_in_the_outbox(shop, until):
    with ThreadPoolExecutor(8) as pool:
        assert all(reply.status_code == 201 for reply in pool.map(lambda n: shop.order(), range(40)))
    assert until(lambda: shop.sql("SELECT count(*) FROM outbox") == 0)
    assert shop.sql("SELECT count(*) FROM orders") == shop.sql("SELECT count(*) FROM shipments")


def test_nonsense_is_refused_with_a_reason(shop):
    assert shop.http.get("/products/999").status_code == 404
    assert shop.http.get("/products/x").status_code == 422
    assert shop.order(product_id=999).status_code == 404
    assert shop.order(quantity=0).status_code == 422
    assert set(shop.order(product_id=999).json()) == {"error", "detail"}


def test_more_than_the_stock_is_refused_and_takes_nothing(shop):
    shop.sql("UPDATE products SET stock = 2 WHERE id = 50 RETURNING stock")
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda n: shop.order(product_id=50), range(6)))
    assert sorted(reply.status_code for reply in replies) == [201, 201, 409, 409, 409, 409]
    assert shop.sql("SELECT stock FROM products WHERE id = 50") == 0


def test_a_changed_price_is_seen_at_once_and_only_a_manager_may_change_it(shop):
    for price in (1111, 2222):
        shop.http.get("/products")
        shop.http.get("/products/9")
        change = {"json": {"price_cents": price}}
        assert shop.http.put("/products/9", **change, headers=shop.login("alice")).status_code == 403
        assert shop.http.put("/products/9", **change, headers=shop.login("mia")).status_code == 200
        assert shop.http.get("/products/9").json()["price_cents"] == price
        listed = {p["id"]: p for p in shop.http.get("/products").json()["products"]}
        assert listed[9]["price_cents"] == price


def test_tokens_survive_a_rotation_and_new_keys_are_fetched(shop):
    old = shop.login("bob")
    for _ in range(2):
        httpx.post(f"http://{shop.addresses['identity']}/rotate", trust_env=False).raise_for_status()
        new = shop.http.post("/login", json={"user": "bob", "password": "builder"}).json()["token"]
        body = {"product_id": 1, "quantity": 1}
        for headers in (old, {"Authorization": f"Bearer {new}"}):
            assert shop.http.post("/orders", json=body, headers=headers).status_code == 201


def test_without_identity_known_keys_stay_good_and_login_is_a_503(shop, until):
    assert shop.orders_work()
    with shop.down("identity"):
        assert shop.orders_work()
        assert shop.http.post("/login", json={"user": "bob", "password": "builder"}).status_code == 503
    assert until(
        lambda: shop.http.post("/login", json={"user": "bob", "password": "builder"}).status_code == 200
    )


def test_without_cache_or_with_a_slow_or_corrupted_one_products_are_still_served(shop, until):
    expected = shop.http.get("/products").json()
    with shop.down("cache"):
        assert shop.http.get("/products").json() == expected
    with shop.toxic("cache", "timeout", timeout=0):
        assert all(shop.http.get("/products").json() == expected for _ in range(10))
    assert until(lambda: shop.part("cache")["breaker"] == "half-open")
    with shop.cache() as cache:

        def corrupted() -> int:
            assert shop.http.get("/products").json() == expected
            return sum(bool(cache.set(key, b"[]")) for key in cache.keys("shop:*:products:*"))

        assert until(lambda: corrupted() > 0)
        assert shop.http.get("/products").json() == expected


def test_without_payments_orders_are_refused_until_they_are_back(shop, until):
    with shop.down("payments"):
        replies = [shop.order() for _ in range(6)]
        assert {reply.status_code for reply in replies} == {503}
        assert {reply.json()["error"] for reply in replies} == {"payments_unavailable"}
        assert all(reply.headers["retry-after"] == "1" for reply in replies)
        assert shop.part("payments")["breaker"] != "closed"
        assert shop.http.get("/products/1").status_code == 200
    assert until(shop.orders_work)
    assert shop.part("payments")["breaker"] == "closed"


def test_a_payment_that_is_tried_again_is_charged_once(shop, until):
    with shop.toxic("payments", "latency", latency=450):
        assert shop.order(idempotency_key="slow").status_code == 503
    assert until(shop.orders_work)
    assert len(shop.charges("alice:slow")) == 1
    assert shop.order(idempotency_key="slow").status_code == 201
    assert len(shop.charges("alice:slow")) == 1


@pytest.mark.parametrize("fault", ["down", "timeout", "latency"])
def test_without_its_database_the_shop_says_so_and_comes_back(shop, until, fault):
    acknowledged = shop.order().json()["id"]
    toxics = {"timeout": {"timeout": 0}, "latency": {"latency": 5000}}
    with shop.down("postgres") if fault == "down" else shop.toxic("postgres", fault, **toxics[fault]):
        with ThreadPoolExecutor(20) as pool:
            replies = list(pool.map(lambda n: shop.order(), range(40)))
        assert {reply.status_code for reply in replies} == {503}
        assert {reply.json()["error"] for reply in replies} == {"postgres_unavailable"}
        assert until(lambda: shop.http.get("/products").status_code == 503)  # once the cache has expired
        assert shop.http.get("/health/ready").status_code == 503
        assert shop.http.get("/health/live").status_code == 200
    assert until(shop.orders_work)
    assert shop.http.get("/products").status_code == 200
    assert shop.read_order(acknowledged).status_code == 200


def test_every_request_is_logged_also_those_the_client_gave_up_on(shop, until):
    before = time.time()
    shop.http.get("/products/3", headers={"X-Request-Id": "finished"})
    host, port = shop.ready["shop"].removeprefix("http://").split(":")
    with shop.toxic("postgres", "latency", latency=400):
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET /products/999 HTTP/1.1\r\nHost: shop\r\nX-Request-Id: given-up\r\n\r\n")
            assert until(lambda: "shop_database_slots_in_use 0.0" not in shop.http.get("/metrics").text)

        def logged() -> dict[str, dict[str, object]]:
            lines = (shop.state / "access.log").read_text().splitlines()
            return {line["id"]: line for line in map(json.loads, lines)}

        assert until(lambda: {"finished", "given-up"} <= set(logged()))
    finished, given_up = logged()["finished"], logged()["given-up"]
    assert (finished["method"], finished["path"], finished["status"]) == ("GET", "/products/3", 200)
    assert before <= finished["started"] <= finished["ended"] <= time.time()
    assert given_up["status"] is None
    assert given_up["ended"] > given_up["started"]


def test_metrics_and_openapi_describe_what_happens(shop):
    shop.http.get("/products/5")
    text = shop.http.get("/metrics").text
    assert 'shop_requests_total{method="GET",route="/products/{product_id}",status="200"}' in text
    assert 'shop_breaker_open{part="payments"} 0.0' in text
    paths = shop.http.get("/openapi.json").json()["paths"]
    assert {"/login", "/products", "/products/{product_id}", "/orders", "/orders/{order_id}"} <= set(paths)
