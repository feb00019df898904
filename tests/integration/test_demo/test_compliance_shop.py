"""What the healthy shop has for an audit: TLS, lockout, logout, password rules, audit log, backups."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from cryptography import x509

from compliance.target import load_target

CANARY = "sings-in-the-mine-1911"
BASKET = {"product_id": 1, "quantity": 1}
LOCK_AFTER = 10  # at most


def login(shop, user: str, password: str, **wish: Any) -> httpx.Response:
    return shop.http.post("/login", json={"user": user, "password": password, **wish})


def session(shop, user: str = "alice", password: str = "wonderland") -> dict[str, str]:
    """Headers of a token of one's own."""
    return {"Authorization": f"Bearer {login(shop, user, password).raise_for_status().json()['token']}"}


def records(shop, since: str, **wanted: Any) -> list[dict[str, Any]]:
    """As the auditor reads them."""
    reply = shop.http.get("/audit", params={"since": since}, headers=shop.login("audrey"))
    found = reply.raise_for_status().json()["records"]
    return [each for each in found if wanted.items() <= each.items()]


def now() -> str:
    return datetime.now(UTC).isoformat()


@contextmanager
def admin(shop) -> Iterator[psycopg.Connection]:
    with psycopg.connect(shop.ready["env"]["SHOP_POSTGRES"], autocommit=True) as connection:
        yield connection


@contextmanager
def no_audit_records(shop) -> Iterator[None]:
    with admin(shop) as database:
        database.execute("REVOKE INSERT ON audit_log FROM shop")
        try:
            yield
        finally:
            database.execute("GRANT INSERT ON audit_log TO shop")


# -- TLS, headers, errors -------------------------------------------------------------------------------


def test_the_same_shop_is_served_over_tls_by_its_own_authority(shop) -> None:
    env = shop.ready["env"]
    trusted = ssl.create_default_context(cafile=env["SHOP_CA"])
    with httpx.Client(base_url=env["SHOP_TLS_URL"], verify=trusted, trust_env=False) as client:
        order = client.post("/orders", json=BASKET, headers=shop.login("alice"))
        assert order.status_code == 201
        assert "max-age=31536000" in order.headers["strict-transport-security"]
    assert shop.read_order(order.json()["id"]).status_code == 200
    assert "strict-transport-security" not in shop.http.get("/products").headers
    with pytest.raises(httpx.ConnectError, match="certificate"):  # whoever does not know the authority
        httpx.get(env["SHOP_TLS_URL"], trust_env=False)
    host, port = env["SHOP_TLS_URL"].removeprefix("https://").split(":")
    certificate = x509.load_pem_x509_certificate(ssl.get_server_certificate((host, int(port))).encode())
    assert certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=30)


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGKILL])
def test_it_is_served_over_tls_again_when_it_was_ended(shop, until, ends) -> None:
    env, before = shop.ready["env"], shop.pid("shop")
    trusted = ssl.create_default_context(cafile=env["SHOP_CA"])
    with httpx.Client(base_url=env["SHOP_TLS_URL"], verify=trusted, trust_env=False) as client:
        client.get("/products").raise_for_status()  # the connection stays open meanwhile
        os.kill(before, ends)
        assert until(lambda: (shop.state / "shop.pid").exists() and shop.pid("shop") != before)
        assert until(shop.is_ready, 20)
    assert httpx.get(f"{env['SHOP_TLS_URL']}/products", verify=trusted, trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/products", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/products/x", 422),
        ("GET", "/orders/x", 401),
        ("POST", "/orders", 401),
        ("GET", "/audit", 401),
        ("PUT", "/products/1", 401),
        ("POST", "/logout", 401),
        ("POST", "/password", 401),
        ("POST", "/users/canary/unlock", 401),
        ("DELETE", "/products", 405),
        ("PUT", "/products", 405),
        ("TRACE", "/products", 405),
        ("PROPFIND", "/nowhere", 405),
    ],
)
def test_every_answer_is_terse_and_has_its_headers(shop, method, path, status) -> None:
    reply = shop.http.request(method, path)
    assert reply.status_code == status
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["cache-control"] == "no-store"
    assert "server" not in reply.headers
    if status != 200:
        assert set(reply.json()) == {"error", "detail"}
        assert len(reply.text) < 200


def test_what_is_wrong_with_a_request_is_said_without_repeating_it(shop) -> None:
    reply = shop.http.post("/login", json={"user": ["alice"], "password": {"secret": "wonderland"}})
    assert reply.status_code == 422
    assert "body.password" in reply.json()["detail"]
    assert "wonderland" not in reply.text


@pytest.mark.parametrize("told", [True, False])
def test_a_body_that_is_too_large_is_refused_and_one_that_is_not_is_read(shop, told) -> None:
    def send(size: int) -> int:
        body = json.dumps({"user": "alice", "password": "x" * size}).encode()
        content = body if told else iter([body[:1000], body[1000:]])
        reply = httpx.post(
            f"{shop.ready['shop']}/login", content=content, headers={"Content-Type": "application/json"}
        )
        return reply.status_code

    assert send(20_000) == 413
    assert send(5_000) == 401
    login(shop, "alice", "wonderland").raise_for_status()


# -- who gets in ----------------------------------------------------------------------------------------


def test_a_canary_that_is_guessed_at_is_locked_also_after_a_restart_and_nobody_can_tell(shop) -> None:
    since = now()
    wrong = [login(shop, "canary", "wrong") for _ in range(LOCK_AFTER)]
    unknown = [login(shop, "no-such-user", "wrong") for _ in range(LOCK_AFTER)]
    assert {reply.status_code for reply in (*wrong, *unknown)} == {401}
    for one, other in zip(wrong, unknown, strict=True):
        assert (one.text, set(one.headers)) == (other.text, set(other.headers))
    assert "retry-after" not in wrong[0].headers
    assert 1790 < int(wrong[-1].headers["retry-after"]) <= 1800
    assert login(shop, "canary", CANARY).status_code == 401
    shop.restart("identity")
    assert login(shop, "canary", CANARY).text == wrong[0].text
    assert login(shop, "alice", "wonderland").status_code == 200
    (lockout,) = records(shop, since, action="lockout")
    assert (lockout["user"], lockout["outcome"]) == ("canary", "locked")
    assert len(records(shop, since, action="login", user="canary", outcome="refused")) == LOCK_AFTER + 2
    assert shop.http.post("/users/canary/unlock", headers=shop.login("mia")).status_code == 403
    assert shop.http.post("/users/nobody/unlock", headers=shop.login("ada")).status_code == 404
    assert shop.http.post("/users/canary/unlock", headers=shop.login("ada")).status_code == 204
    assert login(shop, "canary", CANARY).status_code == 200


@pytest.mark.parametrize(
    "new",
    [
        "short-1",
        "only-letters-and-no-digit",
        "123456789012345678",
        "a-canary-in-a-cage-1",
        "qwertyuiop12345",
        "Password1234567",
        CANARY,
        "x1" * 101,
    ],
)
def test_a_bad_new_password_is_refused_with_the_rule(shop, new) -> None:
    reply = shop.http.post(
        "/password", json={"old": CANARY, "new": new}, headers=session(shop, "canary", CANARY)
    )
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith(("a password ", "that password "))
    assert login(shop, "canary", new).status_code in (401, 200)
    assert login(shop, "canary", CANARY).status_code == 200


def test_a_good_new_password_takes_the_place_of_the_old_one_which_may_not_come_back(shop) -> None:
    headers = session(shop, "canary", CANARY)
    wrong = {"old": "not-the-old-one", "new": "dives-in-the-sea-1977"}
    assert shop.http.post("/password", json=wrong, headers=headers).status_code == 401
    olds = [CANARY, *(f"dives-in-the-sea-197{n}" for n in range(4))]
    for old, new in itertools.pairwise(olds):
        change = {"old": old, "new": new}
        assert shop.http.post("/password", json=change, headers=headers).status_code == 204
        assert login(shop, "canary", old).status_code == 401
        assert login(shop, "canary", new).status_code == 200
        back = {"old": new, "new": old}
        assert shop.http.post("/password", json=back, headers=headers).status_code == 422
    shop.restart("identity")
    assert login(shop, "canary", olds[-1]).status_code == 200
    change = {"old": olds[-1], "new": CANARY}  # the fifth to the last one
    assert shop.http.post("/password", json=change, headers=headers).status_code == 204


def test_passwords_are_kept_as_salted_hashes_and_nobody_else_may_read_them(shop) -> None:
    file = shop.state / "identity-accounts.json"
    accounts = json.loads(file.read_text())["accounts"]
    salts = [secret["salt"] for account in accounts.values() for secret in account["secrets"]]
    assert len(set(salts)) == len(salts) >= len(accounts)
    assert all(account["secrets"] for account in accounts.values())
    for private in (file, shop.state / "identity-keys.json", shop.state / "tls-key.pem"):
        assert private.stat().st_mode & 0o077 == 0
    for word in ("wonderland", CANARY):
        assert word not in file.read_text()


def test_a_token_lasts_a_quarter_of_an_hour_at_most_and_less_if_that_is_wished(shop) -> None:
    for wish, lasts_s in (({}, 900), ({"expires_in": 3600}, 900), ({"expires_in": 60}, 60)):
        body = login(shop, "alice", "wonderland", **wish).json()
        claims = jwt.decode(body["token"], options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == body["expires_in"] == lasts_s


def test_a_token_that_was_given_back_stays_so_without_cache_and_after_a_restart(shop, until) -> None:
    gone, other = session(shop), session(shop)
    assert shop.http.post("/logout", headers=gone).status_code == 204
    with shop.cache() as cache:
        cache.flushall()

    def status(headers: dict[str, str]) -> int:
        return int(shop.http.post("/orders", json=BASKET, headers=headers).status_code)

    assert (status(gone), status(other)) == (401, 201)
    assert shop.http.post("/logout", headers=gone).status_code == 401
    shop.restart("shop")
    assert (status(gone), status(other)) == (401, 201)
    with shop.down("postgres"):
        assert shop.http.post("/logout", headers=other).status_code == 503, "that could not be promised"
        assert status(other) == 401


def test_while_it_cannot_tell_what_a_token_is_worth_the_shop_refuses_it(shop, until) -> None:
    """Neither keys nor what was given back are known to a new process."""
    good = session(shop)
    forged = jwt.encode({"sub": "alice", "role": "manager"}, "x" * 32, headers={"kid": "unknown"})
    for part in ("identity", "postgres"):
        before = shop.pid("shop")
        with shop.down(part):
            os.kill(before, signal.SIGKILL)
            assert until(lambda pid=before: (shop.state / "shop.pid").exists() and shop.pid("shop") != pid)
            assert until(lambda: answers(shop))
            assert shop.http.post("/orders", json=BASKET).status_code == 401
            assert shop.http.post("/orders", json=BASKET, headers=good).status_code == 503
            bad = {"Authorization": f"Bearer {forged}"}
            assert shop.http.get("/audit", headers=bad).status_code in (401, 503)
        assert until(shop.is_ready)
        assert shop.http.post("/orders", json=BASKET, headers=good).status_code == 201


def answers(shop) -> bool:
    try:
        return bool(shop.http.get("/health/live").is_success)
    except httpx.HTTPError:
        return False


# -- the audit log --------------------------------------------------------------------------------------


def test_what_was_done_and_what_was_refused_is_in_the_log_with_all_its_parts(shop) -> None:
    since, started = now(), datetime.now(UTC)
    order_id = shop.order("bob").json()["id"]
    assert shop.read_order(order_id, "alice").status_code == 404
    shop.http.put("/products/50", json={"price_cents": 1750}, headers=shop.login("mia")).raise_for_status()
    assert (
        shop.http.put("/products/50", json={"price_cents": 1}, headers=shop.login("bob")).status_code == 403
    )
    assert shop.http.get("/audit", headers=shop.login("ada")).status_code == 403
    assert shop.http.post("/orders", json=BASKET).status_code == 401
    headers = session(shop, "canary", CANARY)
    login(shop, "canary", "wrong")
    shop.http.post("/logout", headers=headers).raise_for_status()
    expected = [
        ("bob", "order", f"/orders/{order_id}", "ok"),
        ("alice", "order_read", f"/orders/{order_id}", "refused"),
        ("mia", "price_change", "/products/50", "ok"),
        ("bob", "price_change", "/products/50", "refused"),
        ("ada", "audit_read", "/audit", "refused"),
        (None, "order", "/orders", "refused"),
        ("canary", "login", "/login", "ok"),
        ("canary", "login", "/login", "refused"),
        ("canary", "logout", "/logout", "ok"),
    ]
    for user, action, what, outcome in expected:
        (record,) = records(shop, since, user=user, action=action, object=what, outcome=outcome)
        assert record["source"] == "127.0.0.1"
        assert started <= datetime.fromisoformat(record["at"]) <= datetime.now(UTC)
    assert records(shop, since, user="audrey", action="audit_read", outcome="ok")


def test_the_log_is_read_by_time_and_by_page_and_says_how_long_it_is_kept(shop) -> None:
    shop.order().raise_for_status()
    between = now()
    shop.order().raise_for_status()
    assert len(records(shop, between, action="order", outcome="ok")) == 1
    body = shop.http.get("/audit", headers=shop.login("audrey")).json()
    assert body["retention_days"] >= 365
    ids = [each["id"] for each in body["records"]]
    assert ids == sorted(set(ids))
    later = shop.http.get("/audit", params={"after": ids[2]}, headers=shop.login("audrey")).json()
    assert later["records"][0]["id"] == ids[3]
    for wrong in ({"since": "yesterday"}, {"after": -1}):
        reply = shop.http.get("/audit", params=wrong, headers=shop.login("audrey"))
        assert reply.status_code == 422


def test_no_order_and_no_price_without_its_record(shop, until) -> None:
    """In one transaction: when the record cannot be written, nothing of the other is there."""
    before = shop.sql("SELECT count(*) FROM orders"), shop.http.get("/products/49").json()
    with no_audit_records(shop):
        assert shop.order().status_code == 503
        change = {"json": {"price_cents": 9999}, "headers": shop.login("mia")}
        assert shop.http.put("/products/49", **change).status_code == 503
        assert shop.sql("SELECT count(*) FROM orders") == before[0]
    assert until(shop.orders_work)
    assert shop.http.get("/products/49").json() == before[1]


def test_under_load_with_a_slow_database_every_order_has_one_record(shop, until) -> None:
    with shop.toxic("postgres", "latency", latency=60), ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda n: shop.order(product_id=n % 50 + 1), range(60)))
    acknowledged = [reply.json()["id"] for reply in replies if reply.status_code == 201]
    assert len(acknowledged) > 20
    assert until(shop.orders_work)
    counted = "SELECT count(*) FROM orders o WHERE 1 <> (SELECT count(*) FROM audit_log"
    assert shop.sql(f"{counted} WHERE action = 'order' AND object = '/orders/' || o.id)") == 0
    with admin(shop) as database:
        found = database.execute("SELECT count(*) FROM orders WHERE id = ANY(%s::uuid[])", [acknowledged])
        assert found.fetchone() == (len(acknowledged),)


def test_what_is_refused_while_the_database_is_away_is_in_the_log_afterwards_once(shop, until) -> None:
    """Also when the shop is killed before it could be written."""
    since, headers = now(), shop.login("alice")
    shop.order().raise_for_status()
    with shop.down("postgres"):
        for _ in range(3):
            reply = shop.http.put("/products/1", json={"price_cents": 1}, headers=headers)
            assert reply.status_code == 403
        before = shop.pid("shop")
        os.kill(before, signal.SIGKILL)
        assert until(lambda: (shop.state / "shop.pid").exists() and shop.pid("shop") != before)
    assert until(shop.is_ready, 20)
    wanted = {"user": "alice", "action": "price_change", "outcome": "refused"}
    assert until(lambda: len(records(shop, since, **wanted)) == 3)
    assert until(lambda: (shop.state / "audit-spool.jsonl").stat().st_size == 0)


def test_the_shops_own_role_may_add_to_the_log_and_read_it_and_no_more(shop) -> None:
    url = shop.ready["env"]["SHOP_POSTGRES"].replace("postgres@", "shop@")
    with admin(shop) as database:
        rights = "SELECT privilege_type FROM information_schema.role_table_grants"
        found = database.execute(f"{rights} WHERE grantee = 'shop' AND table_name = 'audit_log'".encode())
        assert {row[0] for row in found} == {"INSERT", "SELECT"}
    for statement in (
        "UPDATE audit_log SET outcome = 'ok'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "DROP TABLE audit_log",
        "DROP SCHEMA public CASCADE",
        "ALTER TABLE audit_log OWNER TO shop",
        "CREATE TABLE mine (a integer)",
    ):
        with psycopg.connect(url) as role, pytest.raises(psycopg.errors.InsufficientPrivilege):
            role.execute(statement.encode())


def test_no_log_has_a_password_or_a_token(shop, until) -> None:
    reply = login(shop, "canary", CANARY)
    headers = {"Authorization": f"Bearer {reply.json()['token']}", "X-Request-Id": "the-last-one"}
    shop.http.post("/orders", json=BASKET, headers=headers).raise_for_status()
    login(shop, "canary", "not-the-right-one-77")
    assert until(lambda: "the-last-one" in (shop.state / "access.log").read_text())
    files = [*shop.state.glob("*.log"), shop.state / "audit-spool.jsonl"]
    assert len(files) >= 7
    for file in files:
        for secret in (CANARY, "wonderland", "not-the-right-one-77", reply.json()["token"]):
            assert secret not in file.read_text(), file.name


# -- backups, and what an audit is told -----------------------------------------------------------------


def test_there_is_a_backup_from_the_start_that_can_be_restored(shop) -> None:
    manifest = json.loads((shop.state / "backups.json").read_text())
    newest = manifest["backups"][-1]
    file = Path(shop.ready["env"]["SHOP_BACKUPS"]) / newest["file"]
    content = file.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (newest["size_bytes"], newest["sha256"])
    age = datetime.now(UTC) - datetime.fromisoformat(newest["at"])
    assert timedelta() < age < timedelta(seconds=manifest["every_s"] + 60)
    assert newest["took_s"] > 0
    target = load_target(shop.state / "target.yaml", {})
    assert target.backups is not None
    assert target.backups.restore is not None

    def restore(backup: Path) -> subprocess.CompletedProcess[str]:
        assert target.backups is not None
        assert target.backups.restore is not None
        command = [word.replace("{backup}", str(backup)) for word in target.backups.restore]
        return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60, check=False)

    found = json.loads(restore(file).stdout)
    assert (found["products"], found["reviews"]) == (50, 100_000)
    torn = shop.state / "torn.dump"
    torn.write_bytes(content[: len(content) // 2])
    assert restore(torn).returncode == 1
    with admin(shop) as database:
        names = {row[0] for row in database.execute("SELECT datname FROM pg_database")}
    assert names == {"postgres", "template0", "template1", "shop"}


def test_the_target_file_says_where_everything_is_and_only_its_owner_may_read_it(shop) -> None:
    env = shop.ready["env"]
    file = Path(env["SHOP_TARGET"])
    assert file.stat().st_mode & 0o077 == 0
    target = load_target(file, {})
    assert target.http is not None
    assert (target.http.url, str(target.http.ca)) == (env["SHOP_TLS_URL"], env["SHOP_CA"])
    roles = {account.role for account in target.accounts}
    assert roles == {"customer", "manager", "auditor", "admin"}
    assert target.canary is not None
    for account in (*target.accounts, target.canary):
        assert login(shop, account.user, account.password).status_code == 200
        assert env[f"SHOP_{account.user.upper()}_PASSWORD"] == account.password
    for exchange in target.privileged:
        for account in target.accounts:
            headers = session(shop, account.user, account.password)
            reply = shop.http.request(exchange.method, exchange.path, json=exchange.body, headers=headers)
            assert reply.is_success == (account.role in exchange.roles), (exchange.path, account.role)
    for path in target.http.public:
        assert (
            shop.http.get(path.replace("/products/*", "/products/1").replace("*", "live")).status_code != 401
        )
    assert target.logs is not None
    assert all(path.exists() for path in target.logs.files)
