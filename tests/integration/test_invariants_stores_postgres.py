"""What many do at once on a real PostgreSQL server: built right it holds, each planted defect is found, and
connections that are lost in the middle are no false alarm."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from invariants import NoAnswer, Refused, StateInvariant, TargetDown
from invariants.catalogue import machine_of
from invariants.draw import drawn
from invariants.execute import execute
from invariants.machine import Machine
from invariants.runner import Runner
from invariants.sequence import Step
from invariants.targets import sql
from invariants.targets import sql_concurrency as stores
from invariants.targets import sql_concurrency_twins as twins
from invariants.targets.sql_client import SqlTarget, schema_of
from tests.servers.postgres import PostgresServer, running_postgres

LIMIT_S = 120.0
NAMES = list(stores.bindings("postgresql://nobody@127.0.0.1/none"))
TWINS: list[tuple[str, type[SqlTarget], set[str]]] = [
    ("counters_are_exact", twins.ReadThenWrite, {"too little"}),
    ("stock_is_never_oversold", twins.LookThenTake, {"oversold", "too much", "too little"}),
    ("locks_exclude", twins.AutocommitLocks, {"overlap"}),
    ("locks_exclude", twins.LocksOfAnybody, {"overlap"}),
    ("locks_exclude", twins.KeptLocks, {"stuck"}),
    ("writers_are_alone", twins.BlindReaders, {"shared"}),
    ("updates_are_not_lost", twins.Overwritten, {"lost update", "ABA"}),
    ("updates_are_not_lost", twins.CheckThenAct, {"lost update", "ABA"}),
    ("tasks_run_once", twins.UnlockedTasks, {"twice"}),
    ("initialised_once", twins.MadeTwice, {"twice"}),
]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres(max_connections=80) as running:
        yield running


def machine(name: str, target: Any, scope: str) -> Machine:
    return machine_of(name)(target, scope, **stores.bindings(target.url)[name].options)


def left(server: PostgresServer) -> list[Any]:
    return server.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'chaos%'")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_built_right_holds(server: PostgresServer, name: str) -> None:
    bound = sql.bindings(server.app)[name]
    for seed in range(2):
        invariant = StateInvariant.named(name, bound.target, **bound.options).with_seed(seed)
        invariant = invariant.with_concurrency(4).with_iterations(3).with_steps(20).with_kept_in(None)
        result = invariant.with_budget("10min").verify()
        assert result.passed, result.to_json()
    assert left(server) == []


@pytest.mark.parametrize(("name", "twin", "anomalies"), TWINS, ids=lambda each: getattr(each, "__name__", ""))
def test_each_planted_defect_is_found(
    server: PostgresServer, name: str, twin: type[SqlTarget], anomalies: set[str]
) -> None:
    target = twin(server.app)
    runner = Runner(lambda scope: machine(name, target, scope), None, "twin", LIMIT_S)
    for sequence in itertools.islice(drawn(machine(name, target, ""), 20, 4, (), 1), 300):
        found = runner.run(sequence).checked.violations
        if found:
            break
    assert {violation.anomaly for violation in found} & anomalies
    assert left(server) == []


def test_a_search_ends_with_the_steps_of_the_defect(server: PostgresServer) -> None:
    invariant = StateInvariant.named("locks_exclude", twins.KeptLocks(server.app)).with_seed(1)
    result = invariant.with_iterations(20).with_budget("60s").with_kept_in(None).verify()
    assert result.outcome == "DEVIATED"
    assert [step.rule for step in result.violations[0].steps] == ["hold", "hold"]


def end_sessions(server: PostgresServer, scope: str) -> None:
    """Returns when they have let go of what they held."""
    name = schema_of(scope)
    server.ask(
        f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = '{name}'"
    )


def test_who_loses_the_connection_loses_the_lock_and_does_not_say_it_was_held(server: PostgresServer) -> None:
    target = stores.SqlLocks(server.app)
    one, other = target.connect("lost"), target.connect("lost")
    one.acquire()
    with pytest.raises(Refused, match="held"):
        other.acquire()
    with pytest.raises(Refused, match="held"):
        other.acquire_shared()
    end_sessions(server, "lost")
    with pytest.raises(Refused, match="57P01"):
        other.acquire()  # it had no lock, and its session is gone too
    other.acquire()
    with pytest.raises(NoAnswer, match="no answer to COMMIT"):
        one.release()
    other.release()
    for client in (one, other):
        client.close()
    target.forget("lost")


def test_a_lock_that_ends_with_its_connection_is_no_deviation(server: PostgresServer) -> None:
    """While one holds it, all sessions are ended, and another one is given it at once."""
    scope = "ended"

    class Ended(stores.SqlLocks):
        def sleep(self, seconds: float) -> None:
            if seconds == 1:
                end_sessions(server, scope)
                other = stores.SqlLocks(server.app).connect(scope)
                other.acquire()
                other.release()
                other.close()
            else:
                super().sleep(seconds)

    made = machine_of("locks_exclude")(Ended(server.app), scope, hold_s=1)
    history = execute(made, [Step(0, "hold", {}, 0)], None, LIMIT_S).history
    assert [op.outcome for op in history] == ["info"]
    assert made.checker.check(history).violations == ()


def test_readers_hold_together(server: PostgresServer) -> None:
    target = stores.SqlLocks(server.app)
    one, other = target.connect("readers"), target.connect("readers")
    one.acquire_shared()
    other.acquire_shared()
    one.release_shared()
    with pytest.raises(Refused, match="held"):
        one.acquire()
    other.release_shared()
    one.acquire()
    one.release()
    for client in (one, other):
        client.close()
    target.forget("readers")


def test_the_rest_waits_for_tasks_that_others_are_at(server: PostgresServer) -> None:
    """Whose worker goes away in the middle: it is executed after all, and once."""
    target = stores.SqlTasks(server.app)
    worker, other = target.connect("rest"), target.connect("rest")
    other.request(7)
    transaction = worker.in_transaction()
    connection = transaction.__enter__()
    assert worker.take(connection) == 7
    assert other.work() is False, "others pass it by"
    end_sessions(server, "rest")
    with pytest.raises((Refused, NoAnswer)):
        transaction.__exit__(None, None, None)
    other.close()
    assert target.connect("rest").executions() == [7]
    worker.close()
    target.forget("rest")


def test_a_stock_that_cannot_be_put_there_is_a_target_that_is_down() -> None:
    made = machine_of("stock_is_never_oversold")(stores.SqlAmount("postgresql://app@127.0.0.1:1/shop"), "x")
    made.target.forget = lambda scope: None
    with pytest.raises(TargetDown, match="the stock could not be put there: not connected"):
        made.start()
