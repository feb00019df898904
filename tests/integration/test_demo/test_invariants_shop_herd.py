"""Many who want the same at once: it is computed once, whoever asks, and the database is spared."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop'"
COMPUTED = """
SELECT pid, query_start FROM pg_stat_activity
WHERE usename = 'shop' AND query LIKE '%FROM reviews WHERE product_id%'"""
FRESH_S = 2.0  # so long the shop shows what it computed before it computes it again
POOL = 10


class Computations:
    """How often the reviews were computed meanwhile: every session tells what it was asked last."""

    def __init__(self, dsn: str) -> None:
        self._dsn, self._ended = dsn, threading.Event()
        self.seen: set[Any] = set()
        self.most_sessions = 0
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Computations:
        with psycopg.connect(self._dsn, autocommit=True) as session:
            self._before = set(session.execute(COMPUTED).fetchall())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def count(self) -> int:
        return len(self.seen - self._before)

    def _look(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as session:
            while True:
                last = self._ended.is_set()  # one look more after all have been answered
                self.seen |= set(session.execute(COMPUTED).fetchall())
                row = session.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop'"
                ).fetchone()
                assert row is not None
                self.most_sessions = max(self.most_sessions, row[0])
                if last:
                    return
                self._ended.wait(0.02)


@contextmanager
def computations(shop: Any):
    with Computations(shop.ready["env"]["SHOP_POSTGRES"]) as counted:
        yield counted


def at_once(shop: Any, path: str, times: int, threads: int) -> list[httpx.Response]:
    """So many requests, `threads` of them at a time, which begin together."""
    ready = threading.Barrier(threads)
    limits = httpx.Limits(max_connections=threads)

    def some(_: int) -> list[httpx.Response]:
        ready.wait(60)
        return [client.get(path) for _ in range(times // threads)]

    with (
        httpx.Client(base_url=shop.ready["shop"], timeout=30, trust_env=False, limits=limits) as client,
        ThreadPoolExecutor(threads) as pool,
    ):
        return [reply for replies in pool.map(some, range(threads)) for reply in replies]


def all_right(replies: list[httpx.Response], product: int) -> bool:
    return {reply.status_code for reply in replies} == {200} and all(
        reply.json()["product"] == product and reply.json()["reviews"] > 0 for reply in replies
    )


def test_a_hundred_readers_of_what_is_not_cached_make_one_computation(shop):
    with computations(shop) as counted:
        replies = at_once(shop, "/products/21/reviews", 100, 100)
    assert all_right(replies, 21)
    assert len({reply.text for reply in replies}) == 1
    assert counted.count == 1


def test_a_thousand_who_want_what_expired_make_one_computation_each_time_it_expires(shop):
    shop.http.get("/products/22/reviews").raise_for_status()
    time.sleep(FRESH_S + 0.1)  # that it expires is what this is about
    began_s = time.monotonic()
    with computations(shop) as counted:
        replies = at_once(shop, "/products/22/reviews", 1000, 50)
    expired = 1 + int((time.monotonic() - began_s) / FRESH_S)
    assert all_right(replies, 22)
    assert 1 <= counted.count <= expired
    assert counted.most_sessions <= POOL + 1  # one is replaced each second, the new one first


def test_without_that_everybody_computes_anew(start_shop):
    shop = start_shop("reviews-uncached")
    with computations(shop) as counted:
        replies = at_once(shop, "/products/21/reviews", 100, 100)
    assert counted.count > 5
    assert any(reply.status_code == 200 for reply in replies)
