"""What many do at once on a real Valkey server: built right it holds, and each planted defect is found."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from invariants import Refused, StateInvariant
from invariants.catalogue import machine_of
from invariants.draw import drawn
from invariants.machine import Machine
from invariants.runner import Runner
from invariants.targets import redis
from invariants.targets import redis_concurrency as stores
from invariants.targets import redis_concurrency_twins as twins
from invariants.targets.redis_client import RedisTarget
from tests.servers.redis import Server
from tests.servers.redis import server as running

LIMIT_S = 120.0
NAMES = list(stores.bindings("redis://nobody"))
TWINS: list[tuple[str, type[RedisTarget], set[str]]] = [
    ("counters_are_exact", twins.ReadThenWrite, {"too little"}),
    ("stock_is_never_oversold", twins.LookThenTake, {"oversold", "too much", "too little"}),
    ("locks_exclude", twins.LooseLocks, {"overlap"}),
    ("locks_exclude", twins.LocksOfAnybody, {"overlap"}),
    ("updates_are_not_lost", twins.Overwritten, {"lost update", "ABA"}),
    ("updates_are_not_lost", twins.CheckThenAct, {"lost update", "ABA"}),
    ("tasks_run_once", twins.UnlockedTasks, {"twice"}),
    ("initialised_once", twins.MadeTwice, {"twice"}),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("valkey", password="geheim") as found:
        yield found


def machine(name: str, target: Any, scope: str) -> Machine:
    return machine_of(name)(target, scope, **stores.bindings(target.url)[name].options)


@pytest.mark.parametrize("kind", ["valkey", "redis"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_built_right_holds(kind: str, name: str) -> None:
    with running(kind) as server:
        bound = redis.bindings(server.url)[name]
        for seed in range(2):
            invariant = StateInvariant.named(name, bound.target, **bound.options).with_seed(seed)
            invariant = invariant.with_concurrency(4).with_iterations(4).with_steps(20).with_kept_in(None)
            result = invariant.with_budget("10min").verify()
            assert result.passed, result.to_json()
        assert server.ours() == []


@pytest.mark.parametrize(("name", "twin", "anomalies"), TWINS, ids=lambda each: getattr(each, "__name__", ""))
def test_each_planted_defect_is_found(
    server: Server, name: str, twin: type[RedisTarget], anomalies: set[str]
) -> None:
    target = twin(server.url)
    runner = Runner(lambda scope: machine(name, target, scope), None, "twin", LIMIT_S)
    for sequence in itertools.islice(drawn(machine(name, target, ""), 20, 4, (), 1), 500):
        found = runner.run(sequence).checked.violations
        if found:
            break
    assert {violation.anomaly for violation in found} & anomalies
    assert server.ours() == []


def test_a_search_ends_with_the_steps_of_the_defect(server: Server) -> None:
    invariant = StateInvariant.named("updates_are_not_lost", twins.Overwritten(server.url)).with_seed(1)
    result = invariant.with_concurrency(4).with_budget("60s").with_kept_in(None).verify()
    assert result.outcome == "DEVIATED"
    assert {step.rule for step in result.violations[0].steps} == {"update"}


def test_a_lock_whose_lease_is_over_is_another_ones_and_stays_that(server: Server) -> None:
    target = stores.RedisLocks(server.url, lease_s=0.05)
    one, other = target.connect("lease"), stores.RedisLocks(server.url).connect("lease")
    one.acquire()
    due_s = time.monotonic() + LIMIT_S
    while True:
        try:
            other.acquire()
            break
        except Refused:
            assert time.monotonic() < due_s
    with pytest.raises(Refused, match="not mine any more"):
        one.release()
    with pytest.raises(Refused, match="held"):
        one.acquire()
    other.release()
    one.acquire()
    for client in (one, other):
        client.close()
    target.forget("lease")
