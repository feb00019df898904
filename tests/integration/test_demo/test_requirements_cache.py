"""What the shop's users feel of trouble with its cache: at most time. What they are shown is always right."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
import redis

import chaos_locust
from tests.servers.redis import fill, server

DATABASE_S = 0.1
SOME = range(1, 9)


@pytest.fixture(autouse=True)
def as_before(shop, until) -> Iterator[None]:
    """After each test: the settings of the cache, none of our keys, and a shop that uses it and is right."""
    settings = config(shop)
    yield
    assert until(lambda: is_used_again(shop), 15)
    assert config(shop) == settings
    with cache(shop) as server:
        assert list(server.scan_iter("chaos-*")) == []
    assert served(shop, SOME) == truth(shop, SOME)


@contextmanager
def cache(shop) -> Iterator[redis.Redis]:
    """Not behind the proxy."""
    with shop.cache() as client:
        yield client


def config(shop) -> dict[str, str]:
    with cache(shop) as server:
        return {str(name): str(value) for name, value in server.config_get("*").items()}


def count(shop, *names: str) -> tuple[int, ...]:
    with cache(shop) as server:
        stats = server.info("stats")
    return tuple(int(stats[name]) for name in names)


def is_used_again(shop) -> bool:
    """The breaker closes when something is asked for."""
    one(shop, 1)
    return bool(shop.part("cache") == {"ok": True, "breaker": "closed"})


def hits_and_misses(shop) -> tuple[int, int]:
    hits, misses = count(shop, "keyspace_hits", "keyspace_misses")
    return hits, misses


def refusals(shop) -> int:
    """Commands that the cache answered with an error, whichever."""
    return count(shop, "total_error_replies")[0]


Shown = dict[int, tuple[str, int, int]]


def truth(shop, ids: range) -> Shown:
    """id -> name, price and stock, out of the database."""
    with psycopg.connect(shop.ready["env"]["SHOP_POSTGRES"]) as connection:
        rows = connection.execute("SELECT id, name, price_cents, stock FROM products").fetchall()
    return {each[0]: (each[1], each[2], each[3]) for each in rows if each[0] in ids}


def served(shop, ids: range) -> Shown:
    return {product_id: one(shop, product_id) for product_id in ids}


def one(shop, product_id: int) -> tuple[str, int, int]:
    body = shop.http.get(f"/products/{product_id}").raise_for_status().json()
    return body["name"], body["price_cents"], body["stock"]


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    started_s = time.monotonic()
    result = action()
    return time.monotonic() - started_s, result


def asked_of_the_database(shop, ids: range) -> set[int]:
    """Which of them took as long as the database is slow, while it is made slow by DATABASE_S."""
    return {product_id for product_id in ids if timed(lambda p=product_id: one(shop, p))[0] >= DATABASE_S}


def change_price(shop, product_id: int) -> int:
    """The new one."""
    price = truth(shop, range(product_id, product_id + 1))[product_id][1] + 1
    reply = shop.http.put(f"/products/{product_id}", json={"price_cents": price}, headers=shop.login("mia"))
    reply.raise_for_status()
    return price


def test_an_emptied_cache_costs_the_time_of_the_database_and_is_filled_again(
    shop, fault, record_property
) -> None:
    """The first to ask pays, the next does not; counted by the cache itself."""
    right = truth(shop, SOME)
    with fault("latency", "postgres", latency="100ms"):
        served(shop, SOME)
        fault("redis_flush", "cache", keys="shop:*").__enter__().__exit__(None, None, None)
        before = hits_and_misses(shop)
        slow_s, shown = timed(lambda: served(shop, SOME))
        assert shown == right
        assert hits_and_misses(shop) == (before[0], before[1] + len(SOME))
        fast_s, shown = timed(lambda: served(shop, SOME))
        assert shown == right
        hits = hits_and_misses(shop)[0] - before[0]
    assert hits >= 1, "nothing was put back"
    assert slow_s >= len(SOME) * DATABASE_S
    assert slow_s - fast_s >= 0.5 * hits * DATABASE_S, "each hit spares the way to the database"
    record_property("seconds_without_and_with_what_was_cached", (slow_s, fast_s))


def test_what_expires_early_is_found_less_often_and_is_right(shop, fault, record_property) -> None:
    def share_found() -> float:
        before, ends_s = hits_and_misses(shop), time.monotonic() + 2.2
        while time.monotonic() < ends_s:
            assert served(shop, range(1, 4)) == right
            time.sleep(0.02)
        hits, misses = (now - then for now, then in zip(hits_and_misses(shop), before, strict=True))
        return hits / (hits + misses)

    right = truth(shop, range(1, 4))
    usual = share_found()
    with fault("redis_expire", "cache", keys="shop:*", ttl="1ms"), cache(shop) as server:
        early = share_found()
        expired = server.info("stats")["expired_keys"]
    assert early < usual
    assert expired > 0
    assert share_found() > early
    record_property("hit_share_usual_and_early", (round(usual, 3), round(early, 3)))


def test_only_what_was_taken_out_is_asked_of_the_database_again(shop, until, fault) -> None:
    with fault("latency", "postgres", latency="100ms"), cache(shop) as server:

        def only_these() -> bool:
            """Unless they expired meanwhile: they last for two seconds."""
            served(shop, SOME)
            chosen = [key for i in (3, 5) for key in server.scan_iter(f"shop:*:product:{i}:*")]
            others = [key for key in server.scan_iter("shop:*:product:*") if key not in chosen]
            server.delete(*chosen)
            again = asked_of_the_database(shop, SOME)
            if not others or server.exists(*others) < len(others):
                return False
            assert again == {3, 5}
            return True

        assert until(only_these, 15)
        assert served(shop, SOME) == truth(shop, SOME)


def alter(server: redis.Redis, product_id: int) -> int:
    """Another price in what is cached of it; how many values were altered."""
    keys = list(server.scan_iter(f"shop:*:product:{product_id}:*"))
    for key in keys:
        value = server.get(key)
        assert isinstance(value, bytes)
        body = json.loads(value[8:]) | {"price_cents": 1}
        server.set(key, value[:8] + json.dumps(body).encode(), keepttl=True)
    return len(keys)


def test_each_altered_value_is_found_out_and_asked_of_the_database(shop, until, fault) -> None:
    right = truth(shop, SOME)
    with fault("latency", "postgres", latency="100ms"), cache(shop) as server:

        def found_out() -> bool:
            """Unless some expired meanwhile, or a busy machine made one look as if it had."""
            served(shop, SOME)
            keys = list(server.scan_iter("shop:*:product:*"))
            altered = {i for i in (2, 4, 6, 7) if alter(server, i)}
            again, fell_back = {}, set()
            for product_id in SOME:
                seconds, again[product_id] = timed(lambda p=product_id: one(shop, p))
                fell_back |= {product_id} if seconds >= DATABASE_S else set()
            assert again == right
            if len(altered) < 4 or len(keys) < len(SOME) or server.exists(*keys) < len(keys):
                return False
            assert altered <= fell_back
            return fell_back == altered

        assert until(found_out, 15)


def test_a_shop_that_believes_its_cache_shows_what_was_altered(start_shop) -> None:
    shop = start_shop("trusts-cache")
    one(shop, 2)
    with cache(shop) as server:
        assert alter(server, 2) == 1
    assert one(shop, 2)[1] == 1


def evict_by_use(server: redis.Redis, names: str, hot: range, cold: range, until) -> None:
    """Waits until the cold ones have been left alone for 2 s by the server's own clock, and uses the hot."""
    first = names.format(cold[0])
    assert until(lambda: server.object("idletime", first) >= 2, 20)
    for number in hot:
        server.get(names.format(number))


def test_under_memory_pressure_the_least_recently_used_go_and_the_shop_stays_right(
    shop, until, fault, record_property
) -> None:
    """8000 values of 1 kB, of which 400 are used lately; four tenths of the memory are taken away."""
    names, hot, cold = "filler:{}", range(400), range(400, 8000)
    right = truth(shop, SOME)
    with cache(shop) as server:
        pipe = server.pipeline(transaction=False)
        for number in range(8000):
            pipe.set(names.format(number), b"x" * 1000, ex=120)
        pipe.execute()
        try:
            before = count(shop, "evicted_keys")[0]
            evict_by_use(server, names, hot, cold, until)
            with fault("redis_evict", "cache", share="40%"):
                assert served(shop, SOME) == right
                assert until(lambda: count(shop, "evicted_keys")[0] > before)
                evicted = count(shop, "evicted_keys")[0] - before
                left_hot = server.exists(*(names.format(n) for n in hot))
                left_cold = server.exists(*(names.format(n) for n in cold))
                assert served(shop, SOME) == right
        finally:
            server.delete(*(names.format(number) for number in range(8000)))
    assert evicted > 1000
    assert left_cold <= len(cold) - 1000
    assert left_hot >= 0.98 * len(hot), "LRU of this server looks at samples"
    record_property("evicted_and_left_of_hot_and_cold", (evicted, left_hot, left_cold))


def test_with_another_policy_it_is_not_the_least_recently_used_that_go(until, tmp_path) -> None:
    """The same with allkeys-random: the check above can fail."""
    names, hot, cold = "filler:{}", range(400), range(400, 8000)
    with server("valkey", "--maxmemory-policy", "allkeys-random", "--maxmemory", "64mb") as target:
        fill(target, names, 8000, lambda _: b"x" * 1000, 120)
        with target.client() as client:
            evict_by_use(client, names, hot, cold, until)
            with chaos_locust.inject(
                "redis_evict", target="cache", targets={"cache": {"redis": target.url}}, share="40%"
            ):
                assert until(lambda: client.info("stats")["evicted_keys"] > 1000)
                assert client.exists(*(names.format(n) for n in hot)) < 0.9 * len(hot)


@pytest.mark.parametrize("kind", ["redis_refuse_writes", "redis_out_of_memory"])
def test_what_cannot_be_cached_is_shown_all_the_same_and_is_never_old(
    shop, until, fault, kind, record_property
) -> None:
    one(shop, 9)
    before = refusals(shop)
    asked = 0
    with fault(kind, "cache") as injection:
        price = change_price(shop, 9)

        def refused() -> bool:
            nonlocal asked
            asked += 1
            assert one(shop, 9)[1] == price
            return refusals(shop) - before >= 3 and shop.orders_work()

        assert until(refused)
        assert until(lambda: one(shop, 9)[1] == price and getattr(injection.effect, "use", None) is True)
        price = change_price(shop, 9)
    ends_s = time.monotonic() + 2.5  # longer than a value lasts
    while time.monotonic() < ends_s:
        assert one(shop, 9)[1] == price
    record_property("refusals_and_requests", (refusals(shop) - before, asked))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("redis_pause", {}),
        ("redis_slow", {"delay": "300ms"}),
        ("redis_disconnect", {"every": "100ms"}),
        ("redis_corrupt", {"keys": "shop:*"}),
        ("pause", {}),
        ("reset", {}),
    ],
)
def test_no_trouble_with_the_cache_makes_a_request_fail(shop, until, fault, kind, given) -> None:
    right = truth(shop, SOME)
    with fault(kind, "cache", **given) as injection:
        for _ in range(3):
            assert served(shop, SOME) == right
        assert shop.order(product_id=30).status_code == 201
        assert until(lambda: served(shop, SOME) == right and injection.effect is not None)
        assert until(lambda: injection.effect.use is True and served(shop, SOME) == right), injection.effect


def typical_s(shop, ids: range, timeout_s: float = 10.0) -> tuple[float, int]:
    """The median of those that were answered, and how many were not, in time."""
    taken, late = [], 0
    for product_id in ids:
        try:
            seconds, reply = timed(lambda p=product_id: shop.http.get(f"/products/{p}", timeout=timeout_s))
        except httpx.ReadTimeout:
            late += 1
        else:
            assert reply.status_code == 200
            taken.append(seconds)
    return sorted(taken)[len(taken) // 2] if taken else 0.0, late


def test_a_slow_cache_and_a_slow_database_cost_their_sum_and_no_request(
    shop, until, fault, record_property
) -> None:
    """A miss asks the cache, the database, and the cache again to keep it."""
    usual_s, _ = typical_s(shop, range(31, 34))
    with fault("latency", "postgres", latency="250ms"), fault("latency", "cache", latency="25ms"):
        both_s, late = typical_s(shop, range(34, 39))
        assert late == 0
        assert shop.part("cache")["breaker"] == "closed"
        _, late = typical_s(shop, range(41, 44), timeout_s=0.2)
        assert late == 3, "with less time than both need, all are given up"
    assert both_s >= 0.25 + 2 * 0.025
    assert both_s < 0.25 + 2 * 0.025 + usual_s + 0.25
    record_property("seconds_usual_and_with_both", (usual_s, both_s))


@pytest.mark.parametrize(("kind", "given"), [("down", {}), ("latency", {"latency": "5s"})])
def test_without_a_cache_that_is_worth_it_a_slow_database_alone_is_waited_for(
    shop, fault, kind, given
) -> None:
    few = range(1, 5)
    right = truth(shop, few)
    with fault("latency", "postgres", latency="250ms"), fault(kind, "cache", **given):
        assert served(shop, few) == right
        fell_s, late = typical_s(shop, few)
        assert late == 0
        assert 0.25 <= fell_s < 2


def test_a_killed_cache_is_gone_for_a_while_and_nobody_is_refused(shop, until, fault) -> None:
    """A time line of before, without and after: what the server says, and what the shop's users get."""
    pid, line = shop.pid("cache"), list[tuple[str, bool, int]]()

    def look(phase: str) -> bool:
        with cache(shop) as server:
            try:
                alive = bool(server.ping())
            except redis.RedisError:
                alive = False
        statuses = {shop.http.get(path).status_code for path in ("/products", "/products/5")}
        statuses |= {shop.order(product_id=46).status_code}
        line.extend((phase, alive, status) for status in statuses)
        return alive

    for _ in range(5):
        look("before")
    with fault("kill", "cache"):
        look("without")
    assert until(lambda: look("without"), 15)
    assert until(lambda: is_used_again(shop))
    for _ in range(5):
        look("after")
    assert shop.pid("cache") != pid
    assert {status for _, _, status in line} <= {200, 201}
    assert {alive for phase, alive, _ in line if phase == "before"} == {True}
    assert False in {alive for phase, alive, _ in line if phase == "without"}
    assert {alive for phase, alive, _ in line if phase == "after"} == {True}
    hits = hits_and_misses(shop)[0]
    assert until(lambda: served(shop, SOME) == truth(shop, SOME) and hits_and_misses(shop)[0] > hits)
