"""Each planted lapse is seen over the wire, and the healthy shop shows none of them.

`shows` of each case is True when the lapse is seen; it leaves a healthy shop as it was.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import psycopg
import pytest
import redis

from chaos_locust.demo.settings import DEFECTS, LAPSES

CANARY = "sings-in-the-mine-1911"
BASKET = {"product_id": 1, "quantity": 1}


def login(shop, user: str, password: str, **wish: Any):
    return shop.http.post("/login", json={"user": user, "password": password, **wish})


def bearer(reply) -> dict[str, str]:
    return {"Authorization": f"Bearer {reply.raise_for_status().json()['token']}"}


def no_lockout(shop, until) -> bool:
    for _ in range(10):
        login(shop, "canary", "wrong")
    got_in = login(shop, "canary", CANARY).status_code == 200
    shop.http.post("/users/canary/unlock", headers=shop.login("ada")).raise_for_status()
    assert login(shop, "canary", CANARY).status_code == 200
    return got_in


def weak_tls(shop, until) -> bool:
    return any(speaks(shop, version) for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1))


def speaks(shop, version: ssl.TLSVersion) -> bool:
    context = ssl.create_default_context(cafile=shop.ready["env"]["SHOP_CA"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # that is the point
        context.minimum_version = context.maximum_version = version
    host, port = shop.ready["env"]["SHOP_TLS_URL"].removeprefix("https://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        try:
            with context.wrap_socket(connection, server_hostname=host):
                return True
        except (ssl.SSLError, ConnectionResetError):
            return False


def audit_gap(shop, until) -> bool:
    with shop.toxic("postgres", "latency", latency=120):
        ids = [shop.order().raise_for_status().json()["id"] for _ in range(3)]
    assert until(shop.orders_work)
    missing = "SELECT count(*) FROM orders o WHERE o.id = ANY('{%s}') AND NOT EXISTS"
    missing += " (SELECT FROM audit_log WHERE action = 'order' AND object = '/orders/' || o.id)"
    return bool(shop.sql(missing % ",".join(ids)) > 0)


def idor(shop, until) -> bool:
    status = shop.read_order(shop.order().json()["id"], "bob").status_code
    assert status in (200, 404)
    return bool(status == 200)


def verbose_errors(shop, until) -> bool:
    headers = shop.login("alice")
    replies = [
        shop.http.get("/products/x"),
        shop.http.get("/orders/x", headers=headers),
        shop.http.post("/orders", json={**BASKET, "product_id": 999}, headers=headers),
        shop.http.get("/nowhere"),
    ]
    assert all(reply.is_client_error for reply in replies)
    return any("Traceback" in reply.text or ".py" in reply.text for reply in replies)


def no_expiry(shop, until) -> bool:
    reply = login(shop, "alice", "wonderland", expires_in=1)
    claims = jwt.decode(reply.json()["token"], options={"verify_signature": False})
    time.sleep(1.5)  # until it has expired, by the clock of the shop
    status = shop.http.post("/orders", json=BASKET, headers=bearer(reply)).status_code
    usual = jwt.decode(
        login(shop, "alice", "wonderland").json()["token"], options={"verify_signature": False}
    )
    assert (claims["exp"] - claims["iat"] > 900) == (usual["exp"] - usual["iat"] > 900) == (status == 201)
    return bool(status == 201)


def default_admin(shop, until) -> bool:
    return bool(login(shop, "admin", "admin123").status_code == 200)


def open_admin(shop, until) -> bool:
    headers = shop.login("alice")
    statuses = {
        shop.http.get("/audit", headers=headers).status_code,
        shop.http.put("/products/50", json={"price_cents": 1750}, headers=headers).status_code,
        shop.http.post("/users/canary/unlock", headers=headers).status_code,
    }
    assert statuses in ({403}, {200, 204})
    return statuses != {403}


def weak_passwords(shop, until) -> bool:
    headers = bearer(login(shop, "canary", CANARY))
    reply = shop.http.post("/password", json={"old": CANARY, "new": "short"}, headers=headers)
    assert reply.status_code in (204, 422)
    assert login(shop, "canary", "short").is_success == reply.is_success
    return bool(reply.is_success)


def no_logout(shop, until) -> bool:
    headers = bearer(login(shop, "alice", "wonderland"))
    assert shop.http.post("/logout", headers=headers).status_code == 204
    return bool(shop.http.post("/orders", json=BASKET, headers=headers).status_code == 201)


def missing_headers(shop, until) -> bool:
    wanted = {"x-content-type-options", "x-frame-options", "content-security-policy", "cache-control"}
    there = [wanted & set(shop.http.get(path).headers) for path in ("/products", "/nowhere", "/products/x")]
    assert there in ([wanted] * 3, [set()] * 3)
    return there[0] == set()


def banner(shop, until) -> bool:
    return "server" in shop.http.get("/products").headers


def fails_open(shop, until) -> bool:
    claims = {"iss": "shop-identity", "aud": "shop", "sub": "mia", "role": "manager", "jti": "x"}
    claims |= {"exp": time.time() + 60}
    forged = jwt.encode(claims, secrets.token_bytes(32), algorithm="HS256", headers={"kid": "unknown"})
    headers = {"Authorization": f"Bearer {forged}"}
    change = {"json": {"price_cents": 1750}, "headers": headers}
    assert shop.http.put("/products/50", **change).status_code == 401
    with shop.down("identity"):
        statuses = {shop.http.put("/products/50", **change).status_code for _ in range(3)}
        assert shop.http.post("/orders", json=BASKET).status_code == 401
    assert until(shop.is_ready)
    assert statuses <= {200, 401, 503}
    return 200 in statuses


def user_enumeration(shop, until) -> bool:
    known, unknown = login(shop, "canary", "wrong"), login(shop, "nobody-of-that-name", "wrong")
    return bool((known.status_code, known.text) != (unknown.status_code, unknown.text))


def plain_passwords(shop, until) -> bool:
    files = [path for path in shop.state.glob("identity-*") if path.is_file()]
    assert files
    return any("wonderland" in path.read_text() for path in files)


def secrets_in_logs(shop, until) -> bool:
    reply = login(shop, "alice", "wonderland")
    name = f"seen-{secrets.token_hex(4)}"
    headers = bearer(reply) | {"X-Request-Id": name}
    shop.http.post("/orders", json=BASKET, headers=headers).raise_for_status()
    assert until(lambda: name in (shop.state / "access.log").read_text())
    text = (shop.state / "access.log").read_text()
    assert (reply.json()["token"] in text) == ("wonderland" in text)
    return "wonderland" in text


def unbounded_input(shop, until) -> bool:
    padded = {**BASKET, "padding": "x" * 1_000_000}
    status = shop.http.post("/orders", json=padded, headers=shop.login("alice")).status_code
    assert status in (201, 413)
    return bool(status == 201)


def trace_method(shop, until) -> bool:
    reply = shop.http.request("TRACE", "/products", headers={"Authorization": "Bearer seen"})
    assert reply.status_code in (200, 405)
    assert ("Bearer seen" in reply.text) == reply.is_success
    return bool(reply.is_success)


def log_deletable(shop, until) -> bool:
    shop.login("alice")
    assert until(lambda: shop.sql("SELECT count(*) FROM audit_log") > 0)
    url, done = shop.ready["env"]["SHOP_POSTGRES"].replace("postgres@", "shop@"), []
    for statement in ("UPDATE audit_log SET outcome = 'x'", "DELETE FROM audit_log", "DROP TABLE audit_log"):
        with psycopg.connect(url) as session:
            try:
                session.execute(statement.encode())
                done.append(statement)
            except psycopg.errors.InsufficientPrivilege:
                pass
            session.rollback()
    assert len(done) in (0, 3)
    return bool(done)


def no_backups(shop, until) -> bool:
    return not list((shop.state / "backups").iterdir())


def trusting_database(shop, until) -> bool:
    """Who proves himself is let in with or without the lapse."""
    assert shop.sql("SELECT 1") == 1
    told = set()
    for user in ("postgres", "shop"):
        for password in ("", "wrong"):
            way = {**shop.role(user), "password": password, "passfile": "/dev/null/none", "dbname": "shop"}
            try:
                psycopg.connect(**way, connect_timeout=5).close()
                told.add("let in")
            except psycopg.OperationalError as error:
                told.add("refused" if "password" in str(error) else str(error))
    assert told in ({"let in"}, {"refused"})
    return told == {"let in"}


def open_cache(shop, until) -> bool:
    with shop.cache() as cache:
        assert cache.ping()
    with redis.Redis(port=int(shop.addresses["cache"].rpartition(":")[2]), protocol=2) as stranger:
        try:
            return bool(stranger.ping())
        except redis.AuthenticationError:
            return False


def stale_account(shop, until) -> bool:
    listed = shop.http.get("/users", headers=shop.login("ada")).raise_for_status().json()["accounts"]
    (olga,) = [each for each in listed if each["user"] == "olga"]
    got_in = login(shop, "olga", "left-in-the-spring-1998").status_code == 200
    assert olga["enabled"] == got_in
    return got_in


def wrong_total(shop, until) -> bool:
    order = shop.order(product_id=7).raise_for_status().json()
    assert order["amount_cents"] == 675
    stored = shop.sql(f"SELECT amount_cents FROM orders WHERE id = '{order['id']}'")
    assert stored in (675, 700)
    return bool(stored == 700)


def reads_unlogged(shop, until) -> bool:
    number = shop.order().raise_for_status().json()["id"]
    shop.read_order(number).raise_for_status()
    shop.http.get("/audit", headers=shop.login("audrey")).raise_for_status()  # all that was noted is there
    query = "SELECT count(*) FROM audit_log WHERE user_name = 'alice' AND action = 'order_read'"
    return bool(shop.sql(f"{query} AND object = '/orders/{number}'") == 0)


def leftovers(shop, until) -> bool:
    name = f"eve-{secrets.token_hex(4)}"
    new = {"user": name, "password": "climbs-the-tree-1967"}
    shop.http.post("/users", json=new, headers=shop.login("ada")).raise_for_status()
    headers = bearer(login(shop, **new))
    shop.http.post("/orders", json=BASKET, headers=headers).raise_for_status()

    def is_cached() -> bool:
        shop.http.get("/me", headers=headers).raise_for_status()
        return bool(cached())

    def cached() -> list[Any]:
        with shop.cache() as cache:
            return list(cache.scan_iter(f"*{name}*"))

    assert until(is_cached)
    assert shop.http.delete("/me", headers=headers).status_code == 204
    assert login(shop, **new).status_code == 401
    rows = shop.sql(f"SELECT count(*) FROM orders WHERE user_name = '{name}'")
    assert (rows > 0) == bool(cached())
    return bool(rows)


CASES: dict[str, Callable[..., bool]] = {
    "no-lockout": no_lockout,
    "weak-tls": weak_tls,
    "audit-gap-under-load": audit_gap,
    "idor": idor,
    "verbose-errors": verbose_errors,
    "no-expiry": no_expiry,
    "default-admin": default_admin,
    "open-admin": open_admin,
    "weak-passwords": weak_passwords,
    "no-logout": no_logout,
    "missing-headers": missing_headers,
    "banner": banner,
    "fails-open": fails_open,
    "user-enumeration": user_enumeration,
    "plain-passwords": plain_passwords,
    "secrets-in-logs": secrets_in_logs,
    "unbounded-input": unbounded_input,
    "trace-method": trace_method,
    "log-deletable": log_deletable,
    "no-backups": no_backups,
    "trusting-database": trusting_database,
    "open-cache": open_cache,
    "stale-account": stale_account,
    "wrong-total": wrong_total,
    "reads-unlogged": reads_unlogged,
    "leftovers-after-erasure": leftovers,
}
# Nothing that could be planted later.
AT_THE_START = ("log-deletable", "no-backups", "trusting-database", "open-cache")
LATER = [lapse for lapse in CASES if lapse not in AT_THE_START]


@pytest.fixture(scope="module")
def planted(shop) -> Iterator[Callable[[str], Any]]:
    """One shop with one lapse after the other; after the tests of the healthy one, which stand above."""

    def plant(lapse: str) -> Any:
        shop.plant(lapse)
        return shop

    yield plant
    shop.plant(None)


def test_there_is_a_case_for_every_lapse_and_none_is_a_defect() -> None:
    assert set(CASES) == set(LAPSES)
    assert not set(LAPSES) & set(DEFECTS)


@pytest.mark.parametrize("lapse", CASES)
def test_the_healthy_shop_does_not_show_it(shop, until, lapse) -> None:
    assert json.loads((shop.state / "settings.json").read_text())["defect"] is None
    assert not CASES[lapse](shop, until)


@pytest.mark.parametrize("lapse", LATER)
def test_the_lapse_is_seen(planted, until, lapse) -> None:
    shop = planted(lapse)
    assert CASES[lapse](shop, until)
    if lapse != "audit-gap-under-load":
        assert not CASES["audit-gap-under-load"](shop, until), "it is the only lapse there is"


@pytest.mark.parametrize("lapse", AT_THE_START)
def test_the_lapse_that_is_there_from_the_start_is_seen(start_shop, until, lapse) -> None:
    shop = start_shop(lapse)
    assert f"planted defect {lapse}: {LAPSES[lapse]}" in shop.output.read_text()
    assert CASES[lapse](shop, until)
