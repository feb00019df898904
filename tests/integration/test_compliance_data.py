"""What is said of secrets in logs, in answers and in PostgreSQL, and of the way to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from chaos_locust.errors import ChaosError
from compliance.measures.base import Unsupported
from compliance.measures.web.data import DatabaseLink, SecretsInAnswers, SecretsInLogs, StoredReadable
from compliance.site import Unreachable
from compliance.target import Logs, Postgres, Target
from tests.integration.compliance_judged import answers_of, failed, site_of, taken
from tests.servers.postgres import PostgresServer, running_postgres
from tests.servers.small_shop import PASSWORD, SmallShop, small_shop


class Logging(SmallShop):
    """Logs what it is sent (`logs`) as `what` says."""

    file: Path
    what: str

    def parsed(self, body: bytes, *given: Any, **more: Any) -> dict[str, Any]:
        found = super().parsed(body, *given, **more)
        with self.file.open("a") as log:
            shown = found if self.what == "bodies" else {"user": found.get("user")}
            log.write(f"{self.command} {self.path} {json.dumps(shown)}\n")
        return found

    def answer(self, status: int, body: Any) -> None:
        if self.what == "answers":
            with self.file.open("a") as log:
                log.write(f"{status} {json.dumps(body)}\n")
        super().answer(status, body)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("names", []),
        ("bodies", ["password", "password of a failed log-in", "password of an account"]),
        ("answers", ["token"]),
    ],
)
def test_logs(tmp_path: Path, what: str, expected: list[str]) -> None:
    file = tmp_path / "shop.log"
    file.write_text("started\n")
    with small_shop(handler=type("L", (Logging,), {"file": file, "what": what})) as (target, _):
        logged = target.model_copy(update={"logs": Logs(files=(file,))})
        site = site_of(logged)
        found = SecretsInLogs().take(site)["found"]
        assert [each.split(": ")[1].split(",")[0] for each in found] == expected
        assert answers_of(SecretsInLogs, {"found": found}) == {"clean-logs": "failed" if expected else "held"}
        assert PASSWORD not in json.dumps([found, site.evidence])


class Busy(Logging):
    """Logs at once that it was asked, and the rest later; then much else, of many requests of others."""

    def parsed(self, body: bytes, *given: Any, **more: Any) -> dict[str, Any]:
        found = super(Logging, self).parsed(body, *given, **more)
        self._log(f"{self.command} {self.path} asked\n", 0)
        self._log(f"{self.command} {self.path} {json.dumps(found)}\n" + "nothing of note\n" * 10**6, 0.3)
        return found

    def answer(self, status: int, body: Any) -> None:
        self._log(f"{self.command} {self.path} {status}\n", 0.4)
        super().answer(status, body)

    def _log(self, lines: str, after_s: float) -> None:
        def write() -> None:
            with self.file.open("a") as log:
                log.write(lines)

        threading.Timer(after_s, write).start() if after_s else write()


def test_a_log_that_is_late_and_has_much_else(tmp_path: Path) -> None:
    file = tmp_path / "shop.log"
    file.write_text("started\n")
    with small_shop(handler=type("B", (Busy,), {"file": file, "what": "bodies"})) as (target, _):
        logged = target.model_copy(update={"logs": Logs(files=(file,))})
        found = SecretsInLogs().take(site_of(logged))["found"]
    assert [each.split(": ")[1].split(",")[0] for each in found] == [
        "password",
        "password of a failed log-in",
        "password of an account",
    ]


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ChaosError, match="cannot be read"):
        SecretsInLogs().take(site_of(Target(name="test", logs=Logs(files=(tmp_path / "none",)))))


def test_answers() -> None:
    with small_shop() as (target, _):
        assert failed(SecretsInAnswers, target) == set()
    with small_shop("leaks-card") as (target, _):
        assert taken(SecretsInAnswers, target)["found"] == [
            "POST /orders: card number, 1 time",
            "GET /orders/{id}: card number, 1 time",
        ]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as found:
        yield found


class Storing(SmallShop):
    """Stores what is ordered in PostgreSQL, by the statement `store`."""

    url: str
    store: str

    def order(self, given: dict[str, Any]) -> None:
        super().order(given)
        with psycopg.connect(self.url) as connection:
            connection.execute(self.store.encode(), {"note": given["note"]})


@pytest.mark.parametrize(
    ("store", "readable"),
    [
        ("INSERT INTO orders (note) VALUES (%(note)s)", True),
        ("INSERT INTO orders (secret) VALUES (convert_to(%(note)s, 'UTF8'))", True),
        ("INSERT INTO orders (note) VALUES (md5(%(note)s))", False),
    ],
)
def test_a_marked_record(server: PostgresServer, store: str, readable: bool) -> None:
    server.ask("DROP TABLE IF EXISTS orders, users; CREATE TABLE orders (note text, secret bytea)")
    server.ask("CREATE TABLE users (name text, password text)")
    handler = type("S", (Storing,), {"url": server.admin, "store": store})
    with small_shop(handler=handler) as (target, _):
        value = taken(StoredReadable, marked(target, server))
    assert value == {"credentials": [], "record": ["public.orders"] if readable else []}


def test_passwords_and_tokens_that_are_stored_as_they_are(server: PostgresServer) -> None:
    server.ask("DROP TABLE IF EXISTS orders, users; CREATE TABLE users (name text, password text)")
    with small_shop() as (target, _):
        shop = target.model_copy(update={"postgres": Postgres(url=server.admin)})
        value = taken(StoredReadable, shop)
        assert value == {"credentials": [], "record": None}
        assert answers_of(StoredReadable, value) == {
            "stored-credentials": "held",
            "stored-record": "not_known",
        }
        server.ask(f"INSERT INTO users VALUES ('alice', '{PASSWORD}')")
        assert taken(StoredReadable, shop)["credentials"] == ["public.users"]


def test_a_password_with_everything_in_it_is_found(server: PostgresServer) -> None:
    server.ask("DROP TABLE IF EXISTS orders, users; CREATE TABLE users (name text, password text)")
    odd = 'a%_\\"b,(c) 1'
    with psycopg.connect(server.admin) as connection:
        connection.execute("INSERT INTO users VALUES ('alice', %s)", (odd,))
    with small_shop(password=odd) as (target, _):
        shop = target.model_copy(update={"postgres": Postgres(url=server.admin)})
        assert taken(StoredReadable, shop)["credentials"] == ["public.users"]


def test_connections_of_this_host_need_no_encryption(server: PostgresServer) -> None:
    linked = Target(name="test", postgres=Postgres(url=server.admin, app_role="app"))
    with pytest.raises(ChaosError, match="no connection"):
        DatabaseLink().take(site_of(linked))
    with psycopg.connect(server.app):
        assert taken(DatabaseLink, linked) == {"unencrypted": 0}


@pytest.mark.parametrize(
    ("rows", "unencrypted"),
    [
        ([("192.0.2.7/32", 5000, False), ("192.0.2.7/32", 5001, True), ("::1/128", 5002, False)], 1),
        ([("2001:db8::7/128", 5000, False), (None, -1, False)], 1),
        ([("192.0.2.7/32", 5000, True)], 0),
    ],
)
def test_connections_of_other_hosts(rows: list[Any], unencrypted: int) -> None:
    linked = Target(name="test", postgres=Postgres(url="postgresql://", app_role="app"))
    value = DatabaseLink(lambda site, query, values: rows).take(site_of(linked))
    assert value == {"unencrypted": unencrypted}


def test_connections_that_may_not_be_seen_are_not_judged(server: PostgresServer) -> None:
    server.ask("CREATE ROLE stranger LOGIN")
    stranger = server.admin.replace("postgres@", "stranger@")
    linked = Target(name="test", postgres=Postgres(url=stranger, app_role="app"))
    with psycopg.connect(server.app), pytest.raises(ChaosError, match="pg_read_all_stats"):
        DatabaseLink().take(site_of(linked))
    with pytest.raises(Unsupported, match="app_role"):
        DatabaseLink().take(site_of(Target(name="test", postgres=Postgres(url=server.admin))))


@pytest.mark.parametrize("measure", [SecretsInAnswers, StoredReadable])
def test_a_target_that_is_down_proves_nothing(measure: Any) -> None:
    with small_shop() as (target, _):
        pass
    gone = target.model_copy(update={"postgres": Postgres(url="postgresql://postgres@127.0.0.1:1/shop")})
    with pytest.raises(Unreachable):
        measure().take(site_of(gone))


def marked(target: Target, server: PostgresServer) -> Target:
    assert target.owned is not None
    create = target.owned.create.model_copy(update={"body": {"product": 1, "note": "{marker}"}})
    owned = target.owned.model_copy(update={"create": create})
    return target.model_copy(update={"owned": owned, "postgres": Postgres(url=server.admin)})
