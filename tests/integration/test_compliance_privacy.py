"""What is said of a user's data, against a service that keeps them in a real PostgreSQL and a real Valkey."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import redis

from chaos_locust.errors import ChaosError
from compliance.measures.base import Unsupported
from compliance.measures.operations.personal_data import ErasedData
from compliance.site import Unreachable
from compliance.target import Exchange, PersonalData, Postgres, Redis, Target
from tests.integration.compliance_judged import answers_of, failed, site_of, taken
from tests.servers.postgres import PostgresServer, running_postgres
from tests.servers.redis import Server
from tests.servers.redis import server as running_valkey
from tests.servers.small_shop import ROLES, Refused, SmallShop, small_shop

HELD = {
    "data-exported": "held",
    "erased-account-is-over": "held",
    "erased-from-database": "held",
    "erased-from-cache": "held",
}


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as found:
        yield found


@pytest.fixture(scope="module")
def valkey() -> Iterator[Server]:
    with running_valkey() as found:
        yield found


class Personal(SmallShop):
    """Makes accounts, and erases them but for what `left` names."""

    url: str
    cache: redis.Redis
    left: str
    joined: dict[str, str]

    def route(self, method: str, path: str, body: bytes) -> None:
        match method, path:
            case "POST", "/users":
                self.need("user_make", "manager")
                given = json.loads(body)
                self.joined[given["user"]] = given["password"]
                self.answer(201, {})
            case "POST", "/login" if (given := json.loads(body))["user"] in self.joined:
                self.let_in(given)
            case "POST", "/orders":
                self.keep()
            case "GET", "/me":
                self.cache.set(f"me:{self.user}", "1")
                self.cache.hset("names", "newest", str(self.user))
                self.cache.rpush("events", f"{self.user} looked")
                self.answer(200, {"user": self.user})
            case "GET", "/me/export":
                self.answer(200, {"user": self.user, "orders": [] if self.left == "export" else ["o-1"]})
            case "DELETE", "/me" if self.left == "refuses":
                raise Refused(503)
            case "DELETE", "/me":
                self.erase()
            case _:
                super().route(method, path, body)

    def let_in(self, given: dict[str, Any]) -> None:
        if given["password"] != self.joined[given["user"]]:
            raise Refused(401, "login")
        token = secrets.token_urlsafe(16)
        self.state.tokens[token] = given["user"]
        self.answer(200, {"access_token": token})

    def keep(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("INSERT INTO orders VALUES (%s)", (self.user,))
            connection.execute("INSERT INTO log VALUES (%s)", (f"{self.user} ordered".encode(),))
        self.answer(201, {"id": "o-1"})

    def erase(self) -> None:
        user = str(self.user)
        if self.left != "account":
            del self.joined[user]
        if self.left != "row":
            with psycopg.connect(self.url) as connection:
                connection.execute("UPDATE orders SET name = 'somebody' WHERE name = %s", (user,))
        if self.left != "key":
            self.cache.delete(f"me:{user}")
        if self.left != "content":
            self.cache.hdel("names", "newest")
        if self.left != "list":
            self.cache.delete("events")
        self.answer(204, "")


@contextmanager
def personal(
    postgres: PostgresServer, valkey: Server, left: str = "", kept: tuple[str, ...] = ("public.log",)
) -> Iterator[Target]:
    postgres.ask("DROP TABLE IF EXISTS orders, log; CREATE TABLE orders (name text)")
    postgres.ask("CREATE TABLE log (line bytea)")
    with valkey.client() as cache:
        cache.flushall()
        told = {"url": postgres.admin, "cache": cache, "left": left, "joined": {}}
        part = PersonalData(
            create=Exchange(method="POST", path="/users", body={"user": "{user}", "password": "{password}"}),
            role="manager",
            visits=(Exchange(path="/me"),),
            export=Exchange(path="/me/export"),
            erase=Exchange(method="DELETE", path="/me"),
            kept=kept,
            patience_s=0.2,
        )
        with small_shop(handler=type("P", (Personal,), told)) as (target, _):
            yield target.model_copy(
                update={
                    "personal_data": part,
                    "postgres": Postgres(url=postgres.admin),
                    "redis": Redis(url=valkey.url),
                }
            )


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ("", set()),
        ("export", {"data-exported"}),
        ("account", {"erased-account-is-over"}),
        ("row", {"erased-from-database"}),
        ("key", {"erased-from-cache"}),
        ("content", {"erased-from-cache"}),
        ("list", {"erased-from-cache"}),
    ],
)
def test_each_thing_left_alone(
    postgres: PostgresServer, valkey: Server, left: str, expected: set[str]
) -> None:
    with personal(postgres, valkey, left) as target:
        assert failed(ErasedData, target) == expected


def test_what_is_left_is_named(postgres: PostgresServer, valkey: Server) -> None:
    with personal(postgres, valkey, "row", kept=()) as target:
        assert taken(ErasedData, target)["tables"] == ["public.log", "public.orders"]
    with personal(postgres, valkey, "key") as target:
        (key,) = taken(ErasedData, target)["keys"]
        assert key.startswith("me:erase-")


def test_a_database_of_somebody_else_proves_nothing(postgres: PostgresServer, valkey: Server) -> None:
    with personal(postgres, valkey) as target:
        elsewhere = target.model_copy(update={"postgres": Postgres(url=postgres.home)})
        with pytest.raises(Unsupported, match="tables"):
            ErasedData().take(site_of(elsewhere))
        assert target.owned is not None
        without_orders = target.model_copy(update={"owned": None})
        with pytest.raises(Unsupported, match="no table has the name"):
            ErasedData().take(site_of(without_orders))


def test_what_is_not_described_is_not_known(postgres: PostgresServer, valkey: Server) -> None:
    with personal(postgres, valkey) as target:
        assert target.personal_data is not None
        part = target.personal_data.model_copy(update={"export": None})
        bare = target.model_copy(update={"personal_data": part, "redis": None, "postgres": None})
        found = answers_of(ErasedData, taken(ErasedData, bare))
    unknown = dict.fromkeys(("data-exported", "erased-from-database", "erased-from-cache"), "not_known")
    assert found == {**HELD, **unknown}


def test_an_erasure_that_is_refused_proves_nothing(postgres: PostgresServer, valkey: Server) -> None:
    with personal(postgres, valkey, "refuses") as target, pytest.raises(ChaosError, match="DELETE /me: 503"):
        ErasedData().take(site_of(target))
    with pytest.raises(Unreachable):
        ErasedData().take(site_of(target))


def test_who_may_not_make_accounts_proves_nothing(postgres: PostgresServer, valkey: Server) -> None:
    assert "admin" not in ROLES.values()
    with personal(postgres, valkey) as target:
        assert target.personal_data is not None
        for role, error, message in (("admin", Unsupported, "admin"), ("customer", ChaosError, "403")):
            part = target.personal_data.model_copy(update={"role": role})
            with pytest.raises(error, match=message):
                ErasedData().take(site_of(target.model_copy(update={"personal_data": part})))
