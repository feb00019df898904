"""Accounts of the shop, and what their users are given and have erased."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

PASSWORD = "climbs-the-tree-1967"
BASKET = {"product_id": 7, "quantity": 2}


def login(shop, user: str) -> dict[str, str]:
    reply = shop.http.post("/login", json={"user": user, "password": PASSWORD})
    return {"Authorization": f"Bearer {reply.raise_for_status().json()['token']}"}


@pytest.fixture
def eve(shop) -> str:
    """A new customer."""
    name = f"eve-{secrets.token_hex(4)}"
    made = shop.http.post("/users", json={"user": name, "password": PASSWORD}, headers=shop.login("ada"))
    assert (made.status_code, made.json()) == (201, {"user": name, "role": "customer"})
    return name


def test_administrators_list_and_make_accounts_and_nobody_else_does(shop, eve) -> None:
    headers = shop.login("ada")
    listed = shop.http.get("/users", headers=headers).raise_for_status().json()["accounts"]
    (found,) = [each for each in listed if each["user"] == eve]
    assert (found["role"], found["enabled"], found["last_login"]) == ("customer", True, None)
    assert "climbs" not in str(listed)
    login(shop, eve)
    listed = shop.http.get("/users", headers=headers).json()["accounts"]
    assert next(each for each in listed if each["user"] == eve)["last_login"] >= found["made_at"]
    new = {"user": "mallory", "password": PASSWORD}
    for other in ("alice", "mia", "audrey"):
        assert shop.http.get("/users", headers=shop.login(other)).status_code == 403
        assert shop.http.post("/users", json=new, headers=shop.login(other)).status_code == 403
    assert shop.http.post("/login", json=new).status_code == 401


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"user": "alice", "password": PASSWORD}, 409),
        ({"user": "eve", "password": "too-short-1"}, 422),
        ({"user": "Eve!", "password": PASSWORD}, 422),
        ({"user": "eve"}, 422),
    ],
)
def test_an_account_that_may_not_be_is_refused(shop, wish, status) -> None:
    reply = shop.http.post("/users", json=wish, headers=shop.login("ada"))
    assert reply.status_code == status
    assert set(reply.json()) == {"error", "detail"}


def test_a_user_is_given_all_of_his_data_and_nothing_of_others(shop, eve, monkeypatch) -> None:
    headers = login(shop, eve)
    shop.order().raise_for_status()
    ids = {
        shop.http.post("/orders", json=BASKET, headers=headers).raise_for_status().json()["id"]
        for _ in range(3)
    }
    found = shop.http.get("/me/export", headers=headers).raise_for_status().json()
    assert (found["account"]["user"], found["next"]) == (eve, None)
    assert {each["id"] for each in found["orders"]} == ids
    last = max(ids)
    rest = shop.http.get("/me/export", params={"after": last}, headers=headers).json()
    assert rest["orders"] == []
    assert shop.http.get("/me", headers=headers).json()["user"] == eve


def rows(shop, user: str) -> Any:
    return shop.sql(f"SELECT count(*) FROM orders WHERE user_name = '{user}'")


def test_who_has_his_data_erased_is_gone_and_his_orders_stay(shop, eve) -> None:
    one, other = login(shop, eve), login(shop, eve)
    number = shop.http.post("/orders", json=BASKET, headers=one).raise_for_status().json()["id"]
    assert rows(shop, eve) == 1
    assert shop.http.delete("/me", headers=one).status_code == 204
    assert rows(shop, eve) == 0
    assert shop.sql(f"SELECT amount_cents FROM orders WHERE id = '{number}'") == 1350
    for headers in (one, other):  # every token of his
        assert shop.http.get("/me", headers=headers).status_code == 401
        assert shop.http.post("/orders", json=BASKET, headers=headers).status_code == 401
    assert shop.http.post("/login", json={"user": eve, "password": PASSWORD}).status_code == 401
    listed = shop.http.get("/users", headers=shop.login("ada")).json()["accounts"]
    assert eve not in {each["user"] for each in listed}
    assert eve not in (shop.state / "identity-accounts.json").read_text()


def test_an_erasure_that_failed_halfway_is_asked_for_again(shop, until, eve) -> None:
    headers = login(shop, eve)
    shop.http.post("/orders", json=BASKET, headers=headers).raise_for_status()
    with shop.down("identity"):
        assert shop.http.delete("/me", headers=headers).status_code == 503
    assert until(lambda: shop.http.delete("/me", headers=headers).status_code == 204)
    assert rows(shop, eve) == 0
    assert shop.http.get("/me", headers=headers).status_code == 401
