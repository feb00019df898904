"""Nobody gets in with a token that is not valid, whatever becomes of the keys; who is in stays in."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

import chaos_locust
from chaos_locust.tokens import ATTACKS, spoil

KEYS_TTL_S = 5  # how long the shop takes its keys for fresh


def login(shop, **wish: Any) -> str:
    body = {"user": "alice", "password": "wonderland", **wish}
    return str(shop.http.post("/login", json=body).raise_for_status().json()["token"])


def bad_tokens(shop) -> dict[str, str]:
    """Every attack, and the two that only the identity service can make."""
    good = login(shop)
    expiring = login(shop, expires_in=1)
    made = {attack: spoil(good, attack) for attack in ATTACKS} | {
        "for another service": login(shop, audience="warehouse")
    }
    time.sleep(1.5)  # until it has expired, by the clock of the shop
    return made | {"expired": expiring}


def ask(shop, token: str | None, order_id: str) -> dict[str, int]:
    """The status of each request that needs a token."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}".strip()}
    basket = {"product_id": 3, "quantity": 1}
    return {
        "POST /orders": shop.http.post("/orders", json=basket, headers=headers).status_code,
        "GET /orders/[id]": shop.http.get(f"/orders/{order_id}", headers=headers).status_code,
        "PUT /products/3": shop.http.put(
            "/products/3", json={"price_cents": 700}, headers=headers
        ).status_code,
    }


def orders_in_ledger(shop) -> int:
    with psycopg.connect(shop.ready["env"]["SHOP_POSTGRES"]) as connection:
        row = connection.execute("SELECT count(*) FROM orders").fetchone()
    assert row is not None
    return int(row[0])


def bypasses(shop) -> dict[tuple[str, str], int]:
    """(attack, request) -> status, of everything that was not refused."""
    order_id = shop.order().json()["id"]
    table = {why: ask(shop, token, order_id) for why, token in bad_tokens(shop).items()}
    table["no header"] = ask(shop, None, order_id)
    assert len(table) == len(ATTACKS) + 3
    return {
        (why, what): status for why, row in table.items() for what, status in row.items() if status != 401
    }


def test_no_attack_gets_past_any_door_and_nothing_is_done_for_it(shop) -> None:
    before = orders_in_ledger(shop) + 1  # one is made to be asked for
    assert bypasses(shop) == {}
    assert orders_in_ledger(shop) == before


def test_a_shop_that_does_not_look_is_found_out(start_shop) -> None:
    found = {why for why, _ in bypasses(start_shop("unchecked-tokens"))}
    assert {"forged", "unknown_key", "alg_none", "unsigned", "expired", "for another service"} <= found


def test_a_role_without_the_right_is_refused_and_changes_nothing(shop) -> None:
    price = shop.http.get("/products/3").json()["price_cents"]
    reply = shop.http.put("/products/3", json={"price_cents": price + 1}, headers=shop.login("alice"))
    assert reply.status_code == 403
    assert shop.http.get("/products/3").json()["price_cents"] == price


def test_somebody_elses_order_is_not_shown(shop) -> None:
    order_id = shop.order("alice").json()["id"]
    assert shop.read_order(order_id, "alice").status_code == 200
    assert shop.read_order(order_id, "bob").status_code in (403, 404)


def test_a_token_that_expires_is_refused_from_then_on(shop) -> None:
    headers = {"Authorization": f"Bearer {login(shop, expires_in=2)}"}
    basket = {"product_id": 1, "quantity": 1}
    statuses, ends_s = [], time.monotonic() + 4
    while time.monotonic() < ends_s:
        statuses.append(shop.http.post("/orders", json=basket, headers=headers).status_code)
        time.sleep(0.1)
    assert statuses[0] == 201
    assert statuses[-1] == 401
    assert statuses == sorted(statuses)  # 201 until then, 401 from then on, and nothing else


@pytest.mark.parametrize(
    ("kind", "given"), [("jwks_unavailable", {}), ("jwks_slow", {"delay": "5s"}), ("jwks_corrupted", {})]
)
def test_without_fresh_keys_the_known_ones_stay_good_and_unknown_ones_are_refused(
    shop, fault, kind, given
) -> None:
    assert shop.order().status_code == 201
    stranger = {"Authorization": f"Bearer {spoil(login(shop), 'unknown_key')}"}
    statuses = set()
    with fault(kind, "identity", **given) as injection:
        ends_s = time.monotonic() + KEYS_TTL_S + 3  # so long that the keys are asked for again
        while time.monotonic() < ends_s:
            statuses.add(shop.order().status_code)
            refused = shop.http.post("/orders", json={"product_id": 1, "quantity": 1}, headers=stranger)
            assert refused.status_code in (401, 503)
            time.sleep(0.2)
    assert statuses == {201}
    assert injection.effect is not None
    assert (injection.effect.mechanism, injection.effect.use) == (True, True), injection.effect


@pytest.mark.parametrize("kind", ["jwks_rotated", "jwks_wrong_key_id"])
def test_keys_that_are_gone_are_noticed_within_their_time_and_forgiven_when_they_are_back(
    shop, until, fault, kind
) -> None:
    assert until(lambda: shop.order().status_code == 201)
    with fault(kind, "identity"):
        started_s = time.monotonic()
        assert until(lambda: shop.order().status_code == 401, KEYS_TTL_S + 5)
        assert time.monotonic() - started_s < KEYS_TTL_S + 3
        assert shop.http.get("/products").status_code == 200
    assert until(lambda: shop.order().status_code == 201, 5)


def test_a_shop_that_never_asks_again_stays_shut(start_shop, until, monkeypatch) -> None:
    shop = start_shop("stale-keys")
    targets = {"identity": {"proxy": "identity"}}
    assert until(lambda: shop.order().status_code == 201)
    with chaos_locust.inject(
        "jwks_rotated", target="identity", targets=targets, proxy_api=shop.ready["proxy_api"]
    ):
        assert until(lambda: shop.order().status_code == 401, KEYS_TTL_S + 5)
    assert not until(lambda: shop.order().status_code == 201, 5)
