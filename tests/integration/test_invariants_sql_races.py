"""PostgreSQL while links are cut and many come at once: what is right keeps its promises, twins do not."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import chaos_locust
from invariants import NoAnswer, Refused, StateInvariant
from invariants.checkers.linearizable import Linearizable
from invariants.history import History, Operation, Outcome
from invariants.targets import sql, sql_twins
from invariants.targets.sql_client import SqlTarget
from tests.servers.postgres import PostgresServer, running_postgres

from .test_faults.conftest import ProxyServer, until


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres(max_connections=80) as running:
        yield running


@pytest.fixture
def link(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ProxyServer, str]]:
    """A proxy, and the URL of the database through it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    proxy = ProxyServer("embedded", "-proxy-metrics")
    port = proxy.make("postgres", server.port)
    yield proxy, f"postgresql://app@127.0.0.1:{port}/shop"
    proxy.kill()


def cutting(client: type[sql.SqlTransactionsClient], cut: Callable[[], None]) -> Any:
    class Cut(client):  # type: ignore[valid-type,misc]
        count = 0

        def write_one(self, connection: Any, name: str, value: int) -> None:
            super().write_one(connection, name, value)
            self.count += 1
            if self.count == 1:
                cut()

    return Cut


@pytest.mark.parametrize(
    ("target", "client", "left"),
    [
        (sql.SqlTransactions, sql.SqlTransactionsClient, []),
        (sql_twins.AutocommitTransactions, sql_twins.AutocommitTransactionsClient, [("first", 1)]),
    ],
)
def test_the_link_is_cut_in_the_middle_of_a_transaction(
    server: PostgresServer,
    link: tuple[ProxyServer, str],
    target: type[sql.SqlTransactions],
    client: type[sql.SqlTransactionsClient],
    left: list[Any],
) -> None:
    proxy, url = link
    targets = {"db": {"proxy": "postgres"}}
    down = chaos_locust.inject("down", target="db", targets=targets, proxy_api=proxy.url)
    cut = cutting(client, down.__enter__)(target(url), "cut")
    with pytest.raises((Refused, NoAnswer)) as told:
        cut.transaction({"first": 1, "second": 2})
    down.__exit__(None, None, None)
    direct = sql.SqlTransactions(server.app).connect("cut")
    with direct.in_transaction() as connection:
        # Whoever still holds something of the transaction that was cut is waited for.
        connection.execute("LOCK TABLE items")
    with direct.statements() as connection:
        assert connection.execute("SELECT name, value FROM items").fetchall() == left
    assert isinstance(told.value, Refused if target is sql.SqlTransactions else NoAnswer)
    cut.close()
    direct.close()
    target(server.app).forget("cut")


@pytest.mark.parametrize(
    ("target", "worst"), [(sql.SqlTransactions, "UPHELD"), (sql_twins.AutocommitTransactions, "DEVIATED")]
)
def test_connections_that_are_closed_after_some_bytes(
    link: tuple[ProxyServer, str], target: type[SqlTarget], worst: str
) -> None:
    """Depending on how many, before a transaction, between two of its statements, or at its end."""
    proxy, url = link
    seen, cut = set(), 0
    for size in ("600B", "800B", "1200B"):
        fault = {"kind": "limit", "name": "cut", "target": "db", "at": "0s", "for": "60s", "bytes": size}
        targets = {"db": {"proxy": "postgres"}}
        plan = {"name": "cut", "proxy_api": proxy.url, "targets": targets, "faults": [fault]}
        invariant = StateInvariant.transactions_are_atomic(target(url)).with_faults(plan).with_seed(3)
        invariant = invariant.with_iterations(7).with_steps(30).with_budget("20s").with_kept_in(None)
        result = invariant.verify()
        seen.add(result.outcome)
        cut += sum(path[0] == "cut" and path[2] != "ok" for path in result.code_paths_exercised)
        for found in result.violations:
            assert found.necessary_faults == ("cut",)
    assert worst in seen
    assert seen <= {"UPHELD", worst}
    assert cut, "nothing was cut"


def test_a_commit_without_an_answer_is_told_as_such(
    server: PostgresServer, link: tuple[ProxyServer, str]
) -> None:
    """The COMMIT arrives and is carried out; what the server says does not come back."""
    proxy, url = link
    target = sql.SqlTransactions(url, answer_limit_s=0.5)
    client = target.connect("silent")

    def silenced() -> None:
        with client.in_transaction() as connection:
            client.write_one(connection, "first", 1)
            toxic = {"type": "timeout", "stream": "downstream", "attributes": {"timeout": 0}}
            proxy.ask("POST", "/proxies/postgres/toxics", toxic)

    with pytest.raises(NoAnswer, match="no answer to COMMIT"):
        silenced()
    direct = sql.SqlTransactions(server.app).connect("silent")
    until(lambda: direct.read(["first"]) == {"first": 1}, "what was committed without an answer is there")
    direct.close()
    client.close()
    sql.SqlTransactions(server.app).forget("silent")


def test_fifty_transactions_at_a_time_are_all_or_nothing(server: PostgresServer) -> None:
    """INSERT, UPDATE and DELETE; each moves one from a row to another, or goes back in its middle."""
    target = sql.SqlTransactions(server.app, level="repeatable read")
    first = target.connect("fifty")
    first.transaction({f"n{number}": 100 for number in range(10)})
    before = rollbacks(server)
    together = threading.Barrier(50)

    def one(number: int) -> tuple[str, ...]:
        client, outcomes = target.connect("fifty"), list[str]()
        client.connected()
        together.wait(60)
        source, goal, kind = f"n{number % 10}", f"n{(number + 1) % 10}", number % 5
        for place in range(4):
            try:
                with client.in_transaction() as connection:
                    connection.execute("UPDATE items SET value = value - 1 WHERE name = %s", (source,))
                    connection.execute("INSERT INTO items VALUES (%s, 1)", (f"t{number}-{place}",))
                    if kind == 0:
                        raise ZeroDivisionError
                    connection.execute("DELETE FROM items WHERE name = %s", (f"t{number}-{place}",))
                    connection.execute("UPDATE items SET value = value + 1 WHERE name = %s", (goal,))
                outcomes.append("committed")
            except ZeroDivisionError:
                outcomes.append("given up")
            except Refused as refused:
                outcomes.append("conflict" if str(refused)[:5] in ("40001", "40P01") else str(refused))
        client.close()
        return tuple(outcomes)

    with ThreadPoolExecutor(50) as pool:
        ended = [list(outcomes) for outcomes in pool.map(one, range(50))]
    flat = [outcome for outcomes in ended for outcome in outcomes]
    assert set(flat) <= {"committed", "given up", "conflict"}
    aborts = len(flat) - flat.count("committed")
    # Every committed one moved exactly one from one row to the next, in whichever order they came.
    expected = dict.fromkeys((f"n{number}" for number in range(10)), 100)
    for number, outcomes in enumerate(ended):
        expected[f"n{number % 10}"] -= outcomes.count("committed")
        expected[f"n{(number + 1) % 10}"] += outcomes.count("committed")
    with first.statements() as connection:
        assert dict(connection.execute("SELECT name, value FROM items").fetchall()) == expected
    assert flat.count("given up") > 0
    assert flat.count("committed") > 0
    until(lambda: rollbacks(server) - before == aborts, "the server counted as many aborts", 60)
    first.close()
    target.forget("fifty")


def rollbacks(server: PostgresServer) -> int:
    """That the server counted; asked from another database, so that asking counts nothing there."""
    (found,) = server.ask("SELECT xact_rollback FROM pg_stat_database WHERE datname = 'shop'", server.home)
    return int(found[0])


@pytest.mark.parametrize("client", [sql.SqlRegistersClient, sql_twins.UnlockedRegistersClient])
def test_the_last_item_is_sold_once(server: PostgresServer, client: type[sql.SqlRegistersClient]) -> None:
    """Fifty clients who all looked; without a lock between decision and action it is sold again and again."""
    target = sql.SqlRegisters(server.app)
    stock = target.connect("last")
    stock.write("stock", 1)
    together = threading.Barrier(50)

    def buy(number: int) -> bool:
        buyer = client(target, "last")
        buyer.connected()
        together.wait(60)
        try:
            return bool(buyer.cas("stock", 1, 0))
        finally:
            buyer.close()

    with ThreadPoolExecutor(50) as pool:
        sold = sum(pool.map(buy, range(50)))
    assert stock.read("stock") == 0
    assert (sold == 1) if client is sql.SqlRegistersClient else (sold > 1)
    stock.close()
    target.forget("last")


def test_fifty_queries_at_a_time_are_answered_right_over_a_slow_link(
    server: PostgresServer, link: tuple[ProxyServer, str]
) -> None:
    proxy, url = link
    target = sql.SqlTransactions(url, answer_limit_s=60)
    writer = sql.SqlTransactions(server.app).connect("many")
    writer.transaction({f"n{number}": number for number in range(50)})
    open_ones, together = threading.Barrier(51), threading.Barrier(51)

    def ask(number: int) -> dict[str, int | None]:
        client = target.connect("many")
        with client.in_transaction() as connection:
            connection.execute("SELECT 1")
            open_ones.wait(60)
            together.wait(60)
            rows = connection.execute("SELECT name, value FROM items WHERE name = %s", (f"n{number}",))
            found = dict(rows.fetchall())
        client.close()
        return found

    targets = {"db": {"proxy": "postgres"}}
    fault = chaos_locust.inject("latency", target="db", targets=targets, proxy_api=proxy.url, latency="20ms")
    with ThreadPoolExecutor(50) as pool, fault:
        asked = [pool.submit(ask, number) for number in range(50)]
        open_ones.wait(60)
        seen = server.ask(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'chaos_locust_many' "
            "AND state = 'idle in transaction'"
        )
        together.wait(60)
        answers = [each.result() for each in asked]
    assert seen == [(50,)]
    assert answers == [{f"n{number}": number} for number in range(50)]
    writer.close()
    target.forget("many")


class Permissive(sql.SqlRegistersClient):
    """Takes writes while it is cut off, to bring them in later."""

    def __init__(self, target: SqlTarget, scope: str) -> None:
        super().__init__(target, scope)
        self.later: dict[str, int] = {}

    def cas(self, key: str, old: int | None, new: int) -> bool:
        try:
            return super().cas(key, old, new)
        except Refused:
            self.later[key] = new
            return True

    def healed(self) -> None:
        for key, value in self.later.items():
            self.write(key, value)


@pytest.mark.parametrize("client", [sql.SqlRegistersClient, Permissive])
def test_no_two_sides_accept_a_value_for_one_key_while_they_are_cut_apart(
    server: PostgresServer, link: tuple[ProxyServer, str], client: type[sql.SqlRegistersClient]
) -> None:
    """Two instances with a link each to one database; one link is cut, and both are asked to take the key."""
    proxy, url = link
    cut_off, connected = client(sql.SqlRegisters(url), "sides"), client(sql.SqlRegisters(server.app), "sides")
    connected.connected()
    operations: list[Operation] = []

    def take(side: str, over: sql.SqlRegistersClient, key: str, value: int) -> None:
        start_s = time.monotonic()
        outcome: Outcome
        try:
            outcome = "ok" if over.cas(key, None, value) else "fail"
        except Refused:
            outcome = "fail"
        except NoAnswer:
            outcome = "info"
        end_s = math.inf if outcome == "info" else time.monotonic()
        count = sum(op.process == side for op in operations)
        operations.append(Operation(side, count, "cas", key, [None, value], outcome, None, start_s, end_s))

    with chaos_locust.inject("down", target="db", targets={"db": {"proxy": "postgres"}}, proxy_api=proxy.url):
        for number in range(5):
            take("a", cut_off, f"k{number}", 1)
            take("b", connected, f"k{number}", 2)
    if isinstance(cut_off, Permissive):
        cut_off.healed()
    checked = Linearizable().check(History(tuple(operations)))
    with connected.statements() as connection:
        rows = connection.execute("SELECT key, value FROM registers ORDER BY key").fetchall()
    right = client is sql.SqlRegistersClient
    assert bool(checked.violations) is not right
    assert rows == [(f"k{number}", 2 if right else 1) for number in range(5)]
    cut_off.close()
    connected.close()
    sql.SqlRegisters(server.app).forget("sides")


def test_conflicting_changes_are_told_and_none_is_lost(server: PostgresServer) -> None:
    """Each changes only what it has read (a version); who comes too late is told, and tries again."""
    target = sql.SqlRegisters(server.app)
    first, together = target.connect("versions"), threading.Barrier(20)
    first.write("sum", 0)

    def add(number: int) -> int:
        client, conflicts = target.connect("versions"), 0
        client.connected()
        together.wait(60)
        for _ in range(10):
            while not client.cas("sum", value := client.read("sum"), (value or 0) + 1):
                conflicts += 1
        client.close()
        return conflicts

    with ThreadPoolExecutor(20) as pool:
        conflicts = sum(pool.map(add, range(20)))
    assert first.read("sum") == 200
    assert conflicts > 0
    first.close()
    target.forget("versions")
