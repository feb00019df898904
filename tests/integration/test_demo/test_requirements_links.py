"""What the shop's users feel when a link of it is slow, cut, flaps or is gone; and that it ends."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest


def way_to(shop, name: str) -> tuple[str, int]:
    """Where the shop reaches it: behind the proxy."""
    host, _, port = shop.api.get(f"/proxies/{name}").json()["listen"].rpartition(":")
    return host, int(port)


@contextmanager
def database(shop, **options: Any) -> Iterator[psycopg.Connection]:
    host, port = way_to(shop, "postgres")
    way = {**shop.role(), "host": host, "port": port}
    with psycopg.connect(**way, dbname="shop", sslmode="disable", **options) as c:
        c.autocommit = True
        yield c


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    started_s = time.monotonic()
    result = action()
    return time.monotonic() - started_s, result


def query_s(connection: psycopg.Connection, times: int = 5) -> float:
    """The quickest of some: a busy machine only ever adds to it."""
    return min(timed(lambda: connection.execute("SELECT 1").fetchone())[0] for _ in range(times))


@pytest.mark.parametrize("added_ms", [100, 250, 500, 1000])
def test_an_added_delay_is_the_one_that_was_asked_for(shop, fault, added_ms) -> None:
    with database(shop) as connection:
        usual_s = query_s(connection)
        with fault("latency", "postgres", latency=f"{added_ms}ms"):
            slow_s = query_s(connection, 3)
        assert slow_s - usual_s == pytest.approx(added_ms / 1000, rel=0.1)
        assert query_s(connection) < usual_s + 0.05


def test_a_staircase_of_delays_is_followed_step_by_step(shop, fault) -> None:
    """0, 100, 500, 2000 ms: every query succeeds, and grows by its step and by no more."""
    felt = []
    with database(shop) as connection:
        for step_ms in (0, 100, 500, 2000):
            if not step_ms:
                felt.append(query_s(connection))
                continue
            with fault("latency", "postgres", latency=f"{step_ms}ms"):
                felt.append(query_s(connection, 2))
    assert felt == sorted(felt)
    for step_s, seconds in zip((0.1, 0.5, 2.0), felt[1:], strict=True):
        assert seconds - felt[0] == pytest.approx(step_s, rel=0.1)


def test_jitter_spans_what_was_asked_for(shop, fault) -> None:
    with database(shop) as connection, fault("latency", "postgres", latency="130ms", jitter="120ms"):
        delays_ms = [1000 * timed(lambda: connection.execute("SELECT 1"))[0] for _ in range(40)]
    assert 8 <= min(delays_ms) < 60
    assert 200 < sorted(delays_ms)[-4] < 300


@pytest.mark.parametrize("direction", ["upstream", "downstream"])
def test_one_direction_is_slow_and_the_other_is_not(shop, fault, direction) -> None:
    """Both ways are seen apart: when the server got a query, by its own clock, and when its answer came."""
    with database(shop) as connection, fault("latency", "postgres", latency="300ms", direction=direction):
        sent_s = time.time()
        (got_s,) = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        back_s = time.time()
    there_s, here_s = got_s - sent_s, back_s - got_s
    slow_s, fast_s = (there_s, here_s) if direction == "upstream" else (here_s, there_s)
    assert slow_s == pytest.approx(0.3, abs=0.05)
    assert fast_s < 0.05


def test_cached_reads_do_not_feel_a_slow_database(shop, fault) -> None:
    shop.http.get("/products")
    with fault("latency", "postgres", latency="1s"):
        times = []
        for _ in range(40):
            seconds, reply = timed(lambda: shop.http.get("/products"))
            assert reply.status_code == 200
            times.append(seconds)
    assert sorted(times)[int(0.9 * len(times))] < 0.25  # the cache is filled anew now and then


def test_a_dependency_that_never_answers_is_given_up_at_the_time_that_was_set(shop, until, fault) -> None:
    """Payments get 0.3 s a call and two calls; the order says so, and nothing hangs."""
    with fault("timeout", "payments"):
        seconds, reply = timed(shop.order)
        assert reply.status_code == 503
        assert "payment" in reply.text
        assert 0.9 * 0.3 <= seconds < 0.6 + 0.3
    assert until(shop.orders_work)


@pytest.mark.parametrize("kind", ["down", "timeout"])
def test_a_lost_database_is_told_at_once_and_comes_back(shop, until, fault, kind) -> None:
    with fault(kind, "postgres"):
        started_s = time.monotonic()
        told = until(lambda: shop.order().status_code == 503, 10)
        assert told, "no clear error within 10 s"
        assert time.monotonic() - started_s < 10
        seconds, reply = timed(shop.order)
        assert seconds < 3
        assert "postgres" in reply.text or "database" in reply.text
        assert until(lambda: shop.http.get("/health/ready").status_code == 503)
    assert until(shop.orders_work, 10)
    assert shop.http.get("/health/ready").status_code == 200


def test_held_connections_use_up_the_pool_and_give_it_back(shop, until, fault) -> None:
    def in_use() -> float:
        lines = shop.http.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith("shop_database_slots_in_use")).split()[1])

    most = 0.0
    with fault("timeout", "postgres"), ThreadPoolExecutor(20) as pool:
        for replies in [pool.submit(shop.order) for _ in range(20)]:
            most = max(most, in_use())
            assert replies.result().status_code == 503
    assert most == 10
    assert until(shop.orders_work, 10)
    assert until(lambda: in_use() == 0)


def test_a_slow_connect_is_waited_for_or_given_up_as_the_client_was_told(shop, fault) -> None:
    with fault("latency", "postgres", latency="1s"):  # who proves his password is answered three times
        seconds, _ = timed(lambda: database(shop, connect_timeout=10).__enter__().close())
        assert seconds >= 3
        with pytest.raises(psycopg.OperationalError, match="timeout"), database(shop, connect_timeout=2):
            pass


def test_a_connection_that_is_reset_in_mid_query_is_an_error_and_a_new_one_works(shop, until, fault) -> None:
    with fault("reset", "postgres", after="500ms"):
        with pytest.raises(psycopg.OperationalError), database(shop) as connection:
            connection.execute("SELECT pg_sleep(3)")
        assert shop.order().status_code in (201, 503)
    assert until(shop.orders_work, 10)
    with database(shop) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_link_flaps_with_the_duty_cycle_that_was_asked_for(shop, fault) -> None:
    """1 s down and 1 s up: about half of the connections are refused."""
    address = way_to(shop, "identity")
    outcomes: Counter[bool] = Counter()
    with fault("flap", "identity", down="1s", up="1s"):
        ends_s = time.monotonic() + 6
        while time.monotonic() < ends_s:
            try:
                httpx.get(f"http://{address[0]}:{address[1]}/health", timeout=1, trust_env=False)
                outcomes[True] += 1
            except httpx.HTTPError:
                outcomes[False] += 1
            time.sleep(0.02)
    assert 0.35 < outcomes[True] / outcomes.total() < 0.65


def test_without_its_cache_the_shop_answers_right_from_the_database(shop, until, fault) -> None:
    with database(shop) as connection:
        rows = connection.execute("SELECT id, name, price_cents FROM products ORDER BY id").fetchall()
    with fault("down", "cache"):
        assert until(lambda: shop.http.get("/products").status_code == 200)
        served = shop.http.get("/products").json()["products"]
        assert [(each["id"], each["name"], each["price_cents"]) for each in served] == rows
        assert shop.order().status_code == 201


def test_without_identity_those_who_are_logged_in_stay_so_and_nobody_else_gets_in(shop, until, fault) -> None:
    assert shop.order("alice").status_code == 201
    with fault("down", "identity"):
        assert shop.order("alice").status_code == 201
        reply = shop.http.post("/login", json={"user": "bob", "password": "builder"})
        assert reply.status_code == 503
        assert "identity" in reply.text
    assert until(
        lambda: shop.http.post("/login", json={"user": "bob", "password": "builder"}).status_code == 200
    )


def test_an_open_breaker_makes_no_calls_and_closes_again(shop, until, fault) -> None:
    """closed, open, half-open: told by the shop, and by what the payment service was really asked."""

    def asked() -> int:
        address = shop.addresses["payments"]
        return len(httpx.get(f"http://{address}/charges", trust_env=False).json()["charges"])

    def breaker() -> str:
        return str(shop.part("payments")["breaker"])

    assert until(lambda: breaker() == "closed")
    with fault("down", "payments"):
        assert until(lambda: shop.order().status_code == 503 and breaker() == "open")
        before = asked()
        fast = [timed(shop.order) for _ in range(5)]
        assert all(reply.status_code == 503 for _, reply in fast)
        assert min(seconds for seconds, _ in fast) < 0.3  # less than one call may take
        assert asked() == before
        assert shop.http.get("/products").status_code == 200
    assert until(shop.orders_work, 10)
    assert until(lambda: breaker() == "closed")
    assert asked() > before


def test_a_payment_whose_answer_is_lost_is_charged_once(shop, until, fault) -> None:
    """The provider charges, and its answer does not come back; the shop tries again with the same key."""
    key = f"lost-answer-{time.monotonic()}"
    with fault("timeout", "payments", direction="downstream"):
        assert shop.order(idempotency_key=key).status_code == 503
        assert len(shop.charges(f"alice:{key}")) <= 1
    assert until(lambda: shop.order(idempotency_key=key).status_code in (200, 201), 10)
    assert len(shop.charges(f"alice:{key}")) == 1


def test_writes_during_a_cut_are_in_the_ledger_if_and_only_if_they_were_acknowledged(
    shop, until, fault
) -> None:
    """Acknowledged: there. Refused before it was sent: not there. The client was never left hanging."""
    acknowledged, slowest_s = [], 0.0
    stop = threading.Event()

    def write() -> None:
        nonlocal slowest_s
        while not stop.is_set():
            seconds, reply = timed(lambda: shop.order(product_id=7))
            slowest_s = max(slowest_s, seconds)
            if reply.is_success:
                acknowledged.append(reply.json()["id"])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert until(lambda: len(acknowledged) > 5)
        with fault("timeout", "postgres"):
            assert until(lambda: shop.order(product_id=7).status_code == 503)
        count = len(acknowledged)
        assert until(lambda: len(acknowledged) > count + 5, 15)
    finally:
        stop.set()
        writer.join()
    assert slowest_s < 5
    with database(shop) as connection:
        known = {str(row[0]) for row in connection.execute("SELECT id FROM orders WHERE product_id = 7")}
    assert set(acknowledged) <= known
