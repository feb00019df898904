"""Targets on a real PostgreSQL server: what is right holds, and each planted defect is found."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.errors import ChaosError
from invariants import Refused, StateInvariant, TargetDown
from invariants.catalogue import machine_of
from invariants.draw import drawn
from invariants.runner import Runner
from invariants.targets import sql, sql_twins
from invariants.targets.base import Target
from invariants.targets.sql_client import SqlTarget
from tests.servers.postgres import PostgresServer, running_postgres

SEEDS = [range(2), pytest.param(range(2, 10), marks=pytest.mark.long)]
NAMES = [
    name
    for name, bound in sql.bindings("postgresql://nobody@127.0.0.1/none").items()
    if type(bound.target).__module__ == sql.__name__
]
TWINS: list[tuple[str, type[SqlTarget]]] = [
    ("transactions_are_atomic", sql_twins.AutocommitTransactions),
    ("registers_are_linearizable", sql_twins.UnlockedRegisters),
    ("elements_never_disappear", sql_twins.ElementsInOneRow),
    ("queue_never_loses_messages", sql_twins.UnlockedQueue),
    ("queue_never_loses_messages", sql_twins.EarlyQueue),
    ("queue_never_loses_messages", sql_twins.ForgetfulQueue),
    ("sessions_are_consistent", sql_twins.StaleSessions),
    ("money_is_conserved", sql_twins.UnlockedBank),
    ("money_is_conserved", sql_twins.SkewedBank),
    ("transactions_are_serializable", sql_twins.LooseLists),
]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres(max_connections=80) as running:
        yield running


def schemas(server: PostgresServer) -> list[Any]:
    return server.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'chaos%'")


def violation_of(name: str, target: Target, seed: int, iterations: int, steps: int = 20) -> str:
    """The first one of so many sequences; empty: none."""
    machine = machine_of(name)
    runner = Runner(lambda scope: machine(target, scope), None, f"t{seed}", 120)
    for sequence in itertools.islice(drawn(machine(target), steps, 4, (), seed), iterations):
        checked = runner.run(sequence).checked
        if checked.violations:
            return checked.violations[0].title
    return ""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_what_is_built_right_holds(server: PostgresServer, name: str, connections: int, seeds: range) -> None:
    target = sql.bindings(server.app)[name].target
    for seed in seeds:
        invariant = StateInvariant.named(name, target).with_concurrency(connections).with_iterations(4)
        result = invariant.with_steps(30).with_seed(seed).with_budget("10min").with_kept_in(None).verify()
        assert result.passed, result.to_json()
    assert schemas(server) == []


@pytest.mark.parametrize(("name", "twin"), TWINS, ids=lambda each: getattr(each, "__name__", each))
def test_each_planted_defect_is_found(server: PostgresServer, name: str, twin: type[SqlTarget]) -> None:
    for seed in range(3):
        assert violation_of(name, twin(server.app), seed, 300)
    assert schemas(server) == []


def test_a_level_too_low_is_found_by_what_it_allows(server: PostgresServer) -> None:
    low = sql.SqlLists(server.app, level="repeatable read")
    allowed = StateInvariant.named("transactions_are_serializable", low, allowed=("G2",))
    result = allowed.with_concurrency(4).with_iterations(20).with_seed(1).with_budget("10min").verify()
    assert result.passed, result.to_json()
    assert violation_of("transactions_are_serializable", low, 1, 300).startswith("G2")


def test_nobody_listens_so_nothing_happened() -> None:
    target = sql.SqlQueue("postgresql://app@127.0.0.1:1/shop")
    with pytest.raises(Refused, match="not connected"):
        target.connect("x").enqueue(1)
    with pytest.raises(TargetDown, match=r"postgresql://app@127\.0\.0\.1:1/shop does not answer"):
        target.check()
    assert StateInvariant.queue_never_loses_messages(target).verify().outcome == "INCONCLUSIVE"


def test_what_the_server_rolls_back_for_another_did_not_happen(server: PostgresServer) -> None:
    target = sql.SqlLists(server.app)
    one, other = target.connect("conflict"), target.connect("conflict")
    one.txn([["append", "x", 0]])

    def too_late() -> None:
        with one.in_transaction() as connection:
            one.step(connection, "r", "x", None)
            other.txn([["append", "x", 1]])
            one.step(connection, "append", "x", 2)

    with pytest.raises(Refused, match="40001"):
        too_late()
    assert one.txn([["r", "x", None]]) == [["r", "x", [0, 1]]]
    for client in (one, other):
        client.close()
    target.forget("conflict")


def test_a_role_that_may_not_make_a_schema_is_told(server: PostgresServer) -> None:
    server.ask("CREATE ROLE guest LOGIN", server.home)
    with pytest.raises(TargetDown, match="GRANT CREATE ON DATABASE shop TO guest"):
        sql.SqlQueue(server.app.replace("app@", "guest@")).check()


def test_nothing_else_is_touched_and_open_sessions_are_ended(server: PostgresServer) -> None:
    server.ask("CREATE TABLE messages (id int); INSERT INTO messages VALUES (1)", server.app)
    target = sql.SqlQueue(server.app)
    clients = [target.connect("one-1"), target.connect("one-2")]
    for client in clients:
        client.enqueue(1)
    clients[0].connected().execute("BEGIN")
    clients[0].connected().execute("LOCK TABLE messages")
    target.forget("one-1")
    assert schemas(server) == [("chaos_locust_one_2",)]
    with pytest.raises(Refused):
        clients[0].enqueue(2)
    assert clients[1].drain() == [1]
    target.forget("one-2")
    assert server.ask("SELECT id FROM messages", server.app) == [(1,)]
    server.ask("DROP TABLE messages", server.app)
    for client in clients:
        client.close()


def test_no_password_is_shown_and_the_written_target_reads_it_from_the_environment(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = sql.SqlTransactions(
        server.app.replace("app@", "app:gehe%40im@") + "?password=geheim", level="serializable"
    )
    shown = f"SqlTransactions(url='{server.app}', password_env='PGPASSWORD', level='serializable')"
    assert repr(target) == shown
    again = eval(shown, vars(sql))
    with pytest.raises(ChaosError, match="needs the password in the environment variable PGPASSWORD"):
        again.check()
    monkeypatch.setenv("PGPASSWORD", "geheim")
    again.check()
    assert repr(sql.SqlQueue(server.app)) == f"SqlQueue(url='{server.app}')"


def test_a_missing_driver_is_one_clear_message(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ChaosError, match=r"pip install 'chaos-locust\[postgres\]'"):
        StateInvariant.queue_never_loses_messages(sql.SqlQueue(server.app)).verify()


def test_a_defect_is_written_as_a_test_that_fails_until_it_is_mended(
    server: PostgresServer, tmp_path: Path
) -> None:
    twin = sql_twins.ForgetfulQueue(server.app.replace("app@", "app:geheim@"))
    invariant = StateInvariant.queue_never_loses_messages(twin).with_seed(1).with_kept_in(None)
    (found,) = invariant.with_budget("2min").verify().violations
    assert [step.rule for step in found.steps] == ["enqueue", "enqueue", "dequeue"]
    text = found.to_pytest()
    assert "geheim" not in text
    environment = os.environ | {"PGPASSWORD": "geheim"}
    for content, code in ((text, 1), (mended(text), 0)):
        (tmp_path / "test_found.py").write_text(content)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
        assert subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True).returncode == code


def mended(text: str) -> str:
    return text.replace("sql_twins", "sql").replace("ForgetfulQueue", "SqlQueue")
