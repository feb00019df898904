"""What the shop has acknowledged is there, whole and unchanged, whatever was killed or cut meanwhile."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

import chaos_locust

from .test_demo.conftest import RunningShop, until

BUYERS = 6
PATIENCE_S = 30
CHECKSUM = """
SELECT count(*), md5(string_agg(concat_ws(' ', id, product_id, quantity, amount_cents, idempotency_key),
                                ',' ORDER BY id::text COLLATE "C"))
FROM orders WHERE id::text = ANY(%s)"""


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@contextmanager
def running(defect: str | None = None) -> Iterator[RunningShop]:
    shop = RunningShop(defect)
    try:
        yield shop
    finally:
        shop.stop()


@pytest.fixture(scope="module")
def shop() -> Iterator[RunningShop]:
    with running() as found:
        yield found


class Buyers:
    """Order all the time, each with a key of its own, and keep what was acknowledged.

    acknowledged: by the order's id, what the shop said of it. refused: answers other than that. silent: no
    answer. Orders without an acknowledgement may be there or not: nobody was told.
    """

    def __init__(self, shop: RunningShop, name: str) -> None:
        self._shop, self._name, self._over = shop, name, threading.Event()
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.refused = self.silent = 0
        self._headers, self._guard = shop.login("alice"), threading.Lock()
        self._threads = [threading.Thread(target=self._buy, args=(n,)) for n in range(BUYERS)]

    def __enter__(self) -> Buyers:
        for thread in self._threads:
            thread.start()
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def go_on(self) -> None:
        """Returns when twenty more were acknowledged."""
        enough = len(self.acknowledged) + 20
        assert until(lambda: len(self.acknowledged) >= enough, PATIENCE_S, every_s=0.02)

    def met(self) -> None:
        """Returns when somebody more was not served."""
        before = self.refused + self.silent
        assert until(lambda: self.refused + self.silent > before, PATIENCE_S, every_s=0.01)

    def _buy(self, number: int) -> None:
        with httpx.Client(base_url=self._shop.ready["shop"], timeout=5, trust_env=False) as client:
            count = 0
            while not self._over.wait(0.01):
                count += 1
                body = {
                    "product_id": 11 + number,
                    "quantity": 1 + count % 3,
                    "idempotency_key": f"{self._name}-{number}-{count}",
                }
                try:
                    reply = client.post("/orders", json=body, headers=self._headers)
                except httpx.HTTPError:
                    self.silent += 1
                    continue
                with self._guard:
                    if reply.is_success:
                        self.acknowledged[reply.json()["id"]] = reply.json() | body
                    else:
                        self.refused += 1


@contextmanager
def database(shop: RunningShop) -> Iterator[psycopg.Connection]:
    with psycopg.connect(shop.ready["env"]["SHOP_POSTGRES"], autocommit=True) as session:
        yield session


def lost(shop: RunningShop, buyers: Buyers) -> list[str]:
    """The acknowledged orders that are not in the database."""
    with database(shop) as session:
        query = b"SELECT id::text FROM orders WHERE id::text = ANY(%s)"
        there = {row[0] for row in session.execute(query, [list(buyers.acknowledged)]).fetchall()}
    return sorted(set(buyers.acknowledged) - there)


def checksum(orders: dict[str, dict[str, Any]]) -> tuple[int, str]:
    """As CHECKSUM computes it of what is there, of what the buyers were told."""
    keys = ("product_id", "quantity", "amount_cents", "idempotency_key")
    lines = (" ".join([each, *(str(orders[each][key]) for key in keys)]) for each in sorted(orders))
    return len(orders), hashlib.md5(",".join(lines).encode()).hexdigest()


def kill(shop: RunningShop, name: str) -> None:
    os.kill(shop.pid(name), signal.SIGKILL)


def works(shop: RunningShop) -> bool:
    try:
        return shop.orders_work()
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("name", ["shop", "postgres", "payments"])
def test_what_was_acknowledged_before_and_while_a_process_is_killed_is_there_unchanged(
    shop: RunningShop, name: str, record_property: Any
) -> None:
    assert until(lambda: works(shop), PATIENCE_S)
    with Buyers(shop, f"kill-{name}") as buyers:
        before = len(buyers.acknowledged)
        pid = shop.pid(name)
        kill(shop, name)
        buyers.met()
        assert until(lambda: works(shop), PATIENCE_S)
        assert shop.pid(name) != pid
        buyers.go_on()
    record_property(
        "acknowledged, refused, silent", (len(buyers.acknowledged), buyers.refused, buyers.silent)
    )
    assert before >= 20
    assert lost(shop, buyers) == []
    with database(shop) as session:
        found = session.execute(CHECKSUM.encode(), [list(buyers.acknowledged)]).fetchone()
        assert found == checksum(buyers.acknowledged)
        one = next(iter(buyers.acknowledged))
        with session.transaction(force_rollback=True):
            session.execute(b"UPDATE orders SET amount_cents = amount_cents + 1 WHERE id::text = %s", [one])
            altered = session.execute(CHECKSUM.encode(), [list(buyers.acknowledged)]).fetchone()
    assert altered != found, "one altered order is seen"


def through_all_faults(shop: RunningShop, buyers: Buyers) -> list[str]:
    """The database is killed, cut off and slow, its sessions ended, the shop killed; and back each time."""
    targets = {"database": {"proxy": "postgres", "postgres": shop.ready["env"]["SHOP_POSTGRES"]}}

    def fault(kind: str, **keys: Any) -> Callable[[], None]:
        def acts() -> None:
            with chaos_locust.inject(
                kind, target="database", targets=targets, proxy_api=shop.ready["proxy_api"], **keys
            ):
                buyers.met()

        return acts

    happened: dict[str, Callable[[], None]] = {
        "killed": lambda: kill(shop, "postgres"),
        "cut": fault("timeout"),
        "down": fault("down"),
        "slow": fault("latency", latency="1500ms"),
        "sessions ended": fault("postgres_terminate_backends", every="100ms", user="shop"),
        "shop killed": lambda: kill(shop, "shop"),
    }
    for act in happened.values():
        act()
        assert until(lambda: works(shop), PATIENCE_S)
        buyers.go_on()
    return list(happened)


def test_over_a_whole_run_with_faults_no_acknowledged_order_is_lost(
    shop: RunningShop, record_property: Any
) -> None:
    assert until(lambda: works(shop), PATIENCE_S)
    with Buyers(shop, "whole-run") as buyers:
        faults = through_all_faults(shop, buyers)
    share = len(lost(shop, buyers)) / len(buyers.acknowledged)
    record_property("faults", faults)
    record_property(
        "acknowledged, refused, silent", (len(buyers.acknowledged), buyers.refused, buyers.silent)
    )
    record_property("share of lost orders", share)
    assert len(buyers.acknowledged) >= 140
    assert share == 0


def test_a_shop_that_acknowledges_too_early_is_found_to_lose_orders() -> None:
    with running("lost-order") as careless:
        with Buyers(careless, "careless") as buyers:
            with careless.down("postgres"):
                buyers.go_on()
            assert until(lambda: works(careless), PATIENCE_S)
        assert len(lost(careless, buyers)) >= 10
