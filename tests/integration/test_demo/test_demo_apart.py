"""The processes of the shop without a supervisor, as containers run them: two serve, and share the others."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from chaos_locust.demo.apart import run_part
from chaos_locust.demo.shop.catalogue import TTL_S
from tests.servers.postgres import PostgresServer, free_port, running_postgres
from tests.servers.redis import server

COMMAND = (sys.executable, "-m", "chaos_locust.demo", "run")
OTHER_LOOPBACK = "127.0.0.2"  # which only who listens at all addresses answers
WORD = "a/secret"
SHOP_ONLY_BY_PASSWORD = "host all shop all scram-sha-256\nhost all all all trust\n"


class Apart:
    """Processes by name, each in a folder of its own; `web` and `other` serve."""

    def __init__(self, folder: Path, database: PostgresServer, cache: str) -> None:
        self.folder, self.database = folder, database
        self.ports = {name: free_port() for name in ("web", "other", "payments", "identity", "consumer")}
        self.environ = {
            **os.environ,
            "SHOP_DATABASE_URL": f"postgresql://shop:{quote(WORD, safe='')}@127.0.0.1:{database.port}/shop",
            "SHOP_ADMIN_DATABASE_URL": database.admin,
            "SHOP_CACHE_URL": cache,
            "SHOP_PAYMENTS_URL": self.url("payments"),
            "SHOP_IDENTITY_URL": self.url("identity"),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def url(self, name: str) -> str:
        return f"http://{OTHER_LOOPBACK}:{self.ports[name]}"

    def start(self, name: str) -> None:
        state = self.folder / name
        state.mkdir(exist_ok=True)
        part = "web" if name == "other" else name
        where = ["--listen", f"0.0.0.0:{self.ports[name]}", "--state", str(state)]
        with self.log(name).open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [*COMMAND, part, *where], env=self.environ, stdout=log, stderr=log
            )

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def prepare(self) -> int:
        return subprocess.run([*COMMAND, "prepare"], env=self.environ, check=False).returncode

    def get(self, name: str, path: str, **more: Any) -> httpx.Response:
        return httpx.get(self.url(name) + path, trust_env=False, timeout=10, **more)

    def post(self, name: str, path: str, **more: Any) -> httpx.Response:
        return httpx.post(self.url(name) + path, trust_env=False, timeout=10, **more)

    def status(self, name: str, path: str) -> int:
        """0: it does not answer."""
        try:
            return self.get(name, path).status_code
        except httpx.HTTPError:
            return 0

    def login(self, name: str, user: str, password: str) -> Mapping[str, str]:
        reply = self.post(name, "/login", json={"user": user, "password": password})
        return {"Authorization": f"Bearer {reply.raise_for_status().json()['token']}"}

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Running, with the database prepared while they already ask for it."""
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(running_postgres(60))
        (database.data / "pg_hba.conf").write_text(SHOP_ONLY_BY_PASSWORD)
        database.ask("SELECT pg_reload_conf()")
        cache = stack.enter_context(server())
        running = Apart(tmp_path_factory.mktemp("apart"), database, cache.url)
        stack.callback(running.end)
        for name in running.ports:
            running.start(name)
        wait(lambda: running.status("web", "/health/ready") == 503)
        assert running.prepare() == 0
        for name in ("web", "other"):
            wait(lambda name=name: running.status(name, "/health/ready") == 200)
        yield running


def wait(condition: Callable[[], Any], timeout_s: float = 30) -> None:
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.1)


def test_all_parts_answer(apart: Apart) -> None:
    parts = apart.get("other", "/health/ready").json()["parts"]
    assert {name: part["ok"] for name, part in parts.items()} == dict.fromkeys(parts, True)
    assert apart.status("consumer", "/health") == 200


def test_preparing_again_leaves_what_is_there(apart: Apart) -> None:
    before = apart.database.ask("SELECT count(*), sum(stock) FROM products")
    assert apart.prepare() == 0
    assert apart.database.ask("SELECT count(*), sum(stock) FROM products") == before


def test_an_order_of_one_is_known_to_the_other_and_shipped(apart: Apart) -> None:
    alice = apart.login("web", "alice", "wonderland")
    wish = {"product_id": 3, "quantity": 2, "idempotency_key": uuid.uuid4().hex}
    order = apart.post("web", "/orders", json=wish, headers=alice)
    assert order.status_code == 201
    again = apart.post("other", "/orders", json=wish, headers=alice)
    assert (again.status_code, again.json()["id"]) == (200, order.json()["id"])
    charges = apart.get("payments", "/charges").json()["charges"]
    assert [each["reference"] for each in charges].count(order.json()["payment_reference"]) == 1
    path = f"/orders/{order.json()['id']}"
    wait(lambda: apart.get("other", path, headers=alice).json()["status"] == "shipped")


def test_without_the_consumer_nothing_is_shipped(apart: Apart) -> None:
    """It is the one who ships, and ships afterwards."""
    apart.processes["consumer"].terminate()
    assert apart.processes["consumer"].wait(20) == 0
    bob = apart.login("web", "bob", "builder")
    order = apart.post("web", "/orders", json={"product_id": 4, "quantity": 1}, headers=bob).json()
    query = f"SELECT count(*) FROM outbox WHERE order_id = '{order['id']}'"
    assert apart.database.ask(query) == [(1,)]
    time.sleep(1.5)  # one that ships looks each second
    assert apart.database.ask(query) == [(1,)]
    apart.start("consumer")
    wait(lambda: apart.database.ask(query) == [(0,)])


def test_a_token_given_back_to_one_is_refused_by_the_other(apart: Apart) -> None:
    carol = apart.login("web", "carol", "christmas")
    assert apart.get("other", "/me", headers=carol).status_code == 200
    assert apart.post("web", "/logout", headers=carol).status_code == 204
    assert apart.get("other", "/me", headers=carol).status_code == 401
    assert apart.get("web", "/me", headers=carol).status_code == 401


def test_a_price_changed_by_one_is_soon_known_to_the_other(apart: Apart) -> None:
    mia = apart.login("web", "mia", "prices-in-pence")
    before = apart.get("other", "/products/9").json()["price_cents"]
    changed = httpx.put(
        apart.url("web") + "/products/9", json={"price_cents": before + 7}, headers=mia, trust_env=False
    )
    assert changed.status_code == 200
    assert apart.get("web", "/products/9").json()["price_cents"] == before + 7
    wait(lambda: apart.get("other", "/products/9").json()["price_cents"] == before + 7, TTL_S + 5)


def test_what_ends_has_told_all(apart: Apart) -> None:
    """At SIGTERM: audit records are in the database, and the accesses in the log."""
    apart.post("other", "/login", json={"user": "dave", "password": "wrong"})
    process = apart.processes["other"]
    process.terminate()
    assert process.wait(20) == 0
    query = "SELECT count(*) FROM audit_log WHERE user_name = 'dave' AND action = 'login'"
    assert apart.database.ask(query) == [(1,)]
    assert '"path": "/login"' in apart.log("other").read_text()
    apart.start("other")
    wait(lambda: apart.status("other", "/health/ready") == 200)


def test_passwords_are_in_no_log(apart: Apart) -> None:
    for name in apart.ports:
        assert "secret" not in apart.log(name).read_text()


GOOD = {
    "SHOP_DATABASE_URL": "postgresql://shop:hidden@database/shop",
    "SHOP_ADMIN_DATABASE_URL": "postgresql://postgres:hidden@database/shop",
    "SHOP_CACHE_URL": "redis://:hidden@cache",
    "SHOP_PAYMENTS_URL": "http://payments:8001",
    "SHOP_IDENTITY_URL": "http://identity:8002",
}
MISTAKES = {
    "no such part": ("shop", {}, "0.0.0.0:80", "there is no part 'shop'; allowed: web, payments,"),
    "no port": ("payments", {}, "0.0.0.0", "--listen: '0.0.0.0' is not HOST:PORT"),
    "port": ("payments", {}, "0.0.0.0:70000", "--listen: '0.0.0.0:70000' is not HOST:PORT"),
    "not set": ("consumer", {"SHOP_DATABASE_URL": ""}, "", "SHOP_DATABASE_URL: is not set; it has to be a"),
    "scheme": (
        "web",
        {"SHOP_CACHE_URL": "http://hidden"},
        "",
        "SHOP_CACHE_URL: it has to be a URL as redis://HOST",
    ),
    "port of URL": ("web", {"SHOP_PAYMENTS_URL": "http://a:b"}, "", "SHOP_PAYMENTS_URL: it has to be a URL"),
    "user": (
        "prepare",
        {"SHOP_DATABASE_URL": "postgresql://me:hidden@database/shop"},
        "",
        "SHOP_DATABASE_URL: its user and its database have to be shop",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part, environ, listen, message = MISTAKES[mistake]
    assert run_part(part, listen or "127.0.0.1:1", tmp_path, {**GOOD, **environ}) == 2
    told = capsys.readouterr().err
    assert told.startswith(message)
    assert told.count("\n") == 1
    assert "hidden" not in told


def test_state_has_to_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_part("payments", "127.0.0.1:1", tmp_path / "none", {}) == 2
    assert capsys.readouterr().err == f"--state: {tmp_path / 'none'} is no folder\n"
