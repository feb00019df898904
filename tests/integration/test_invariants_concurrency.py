"""Locks, counters, stocks, tasks, visibility at real concurrency: threads, processes, a Valkey server."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from invariants.catalogue import machine_of
from invariants.checkers.publication import Publication
from invariants.draw import drawn
from invariants.history import History
from invariants.runner import Runner
from tests.servers.redis import Server
from tests.servers.redis import server as running

from . import redis_races as races
from .at_once import LIMIT_S, at_once
from .shared_words import session


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("valkey") as found:
        yield found


ON_REDIS: list[tuple[str, type[races.Client], dict[str, Any]]] = [
    ("locks_exclude", races.Lock, {"hold_s": 0.002}),
    ("locks_exclude", races.LockOfAnybody, {"hold_s": 0.015}),
    ("counters_are_exact", races.Amount, {}),
    ("counters_are_exact", races.CountingRecord, {}),
    ("stock_is_never_oversold", races.Stock, {}),
    ("updates_are_not_lost", races.Record, {}),
    ("tasks_run_once", races.Tasks, {}),
    ("messages_stay_in_order", races.Messages, {"order": "all"}),
    ("published_data_are_seen", races.Board, {}),
    ("maps_stay_sound", races.Map, {}),
]


@pytest.mark.parametrize(
    ("name", "client", "options"), ON_REDIS, ids=lambda each: getattr(each, "__name__", "")
)
def test_what_is_built_right_on_redis_holds(
    server: Server, name: str, client: type[races.Client], options: dict[str, Any]
) -> None:
    machine, target = machine_of(name), races.Races(server.url, client=client)
    runner = Runner(lambda scope: machine(target, scope, **options), None, "right", LIMIT_S)
    sequences = itertools.islice(drawn(machine(target), 20, 8, (), 1), 40)
    checked = [runner.run(sequence).checked for sequence in sequences]
    assert [found for each in checked for found in each.violations] == []
    assert sum(not each.inconclusive for each in checked)
    assert server.ours() == []


@pytest.mark.parametrize(
    ("name", "client", "options"), ON_REDIS, ids=lambda each: getattr(each, "__name__", "")
)
def test_the_mistake_is_found_on_redis(
    server: Server, name: str, client: type[races.Client], options: dict[str, Any]
) -> None:
    machine, target = machine_of(name), races.Races(server.url, client=client, twin=True)
    for seed in range(3):
        runner = Runner(lambda scope: machine(target, scope, **options), None, f"t{seed}", LIMIT_S)
        sequences = itertools.islice(drawn(machine(target), 20, 8, (), seed), 500)
        assert any(runner.run(sequence).checked.violations for sequence in sequences)
    assert server.ours() == []


@pytest.mark.parametrize("twin", [False, True])
def test_fifty_want_the_last_one(server: Server, twin: bool) -> None:
    everybody = threading.Barrier(50)

    class Hasty(races.Stock):
        def between(self) -> None:
            everybody.wait(LIMIT_S)

    target = races.Races(server.url, client=Hasty, twin=twin)
    machine = machine_of("stock_is_never_oversold")(target, f"last{twin}", stock=1)
    history = at_once(machine, ("take", {"value": 1}), lanes=50)
    outcomes = Counter(op.outcome for op in history.of("take"))
    checked = machine.checker.check(history)
    if twin:
        assert outcomes == {"ok": 50}, "all saw the last one before anybody took it"
        assert "oversold" in {found.anomaly for found in checked.violations}
    else:
        assert outcomes == {"ok": 1, "fail": 49}
        assert checked.passed


def test_updates_that_meet_are_noticed_and_add_up(server: Server) -> None:
    clients: list[races.CountingRecord] = []

    class Kept(races.CountingRecord):
        def __init__(self, target: Any, scope: str, twin: bool) -> None:
            super().__init__(target, scope, twin)
            clients.append(self)

    machine = machine_of("counters_are_exact")(races.Races(server.url, client=Kept), "sum")
    history = at_once(machine, *[("add", {"value": 3})] * 10, lanes=20)
    assert machine.checker.check(history).passed
    assert history.of("total")[0].result == 600
    assert sum(client.conflicts for client in clients) > 0, "no update met another"


class Gated(races.Client):
    """Counts, or holds a lock, once the server has seen all of them waiting."""

    def add(self, amount: int) -> None:
        self._wait("gate")
        self.do("INCRBY", self.key("amount"), amount)

    def read(self) -> int:
        return int(self.do("GET", self.key("amount")) or 0)

    def acquire(self) -> None:
        self._wait("lock")

    def release(self) -> None:
        self.do("RPUSH", self.key("lock"), 1)

    def _wait(self, name: str) -> None:
        assert self.do("BLPOP", self.key(name), LIMIT_S), "nobody opened"


@pytest.mark.parametrize("level", [1, 10, 50])
@pytest.mark.parametrize(
    ("name", "rule", "opens"),
    [
        ("counters_are_exact", ("add", {"value": 2}), "gate"),
        ("locks_exclude", ("hold", {}), "lock"),
    ],
)
def test_so_many_at_once_as_the_server_says(
    server: Server, level: int, name: str, rule: tuple[str, dict[str, Any]], opens: str, record_property: Any
) -> None:
    """One to fifty at the same time; the server counts those that wait for it."""
    target = races.Races(server.url, client=Gated, answer_limit_s=LIMIT_S)
    machine = machine_of(name)(target, f"{opens}{level}")
    histories: list[History] = []
    running = threading.Thread(target=lambda: histories.append(at_once(machine, rule, lanes=level)))
    began_s = time.monotonic()
    running.start()
    with server.client() as admin:
        waiting, due_s = 0, time.monotonic() + LIMIT_S
        while waiting < level and time.monotonic() < due_s:
            waiting = int(admin.info("clients")["blocked_clients"])
            time.sleep(0.002)
        opener = target.connect(machine.scope)
        assert isinstance(opener, Gated)
        for _ in range(level if opens == "gate" else 1):
            opener.do("RPUSH", opener.key(opens), 1)
        opener.close()
    running.join(LIMIT_S)
    checked = machine.checker.check(histories[0])
    record_property("waiting at the server", waiting)
    record_property("per second", round(level / (time.monotonic() - began_s), 1))
    assert waiting == level
    assert checked.violations == ()
    if opens == "gate":
        assert histories[0].of("total")[0].result == 2 * level
    else:
        assert checked.seen["holds"] == level


def test_data_of_another_process_are_seen_with_their_flag() -> None:
    """One process writes the data and then the flag, another reads the flag and then the data."""
    flags = 0
    for _ in range(3):
        history = session(20_000, flag_first=False)
        checked = Publication().check(history)
        assert checked.passed, checked.violations[:3]
        flags += len({op.result["flag"] for op in history.of("look")})
    assert flags > 10, "they were hardly under way at the same time"


def test_a_flag_that_is_set_before_its_data_is_found() -> None:
    found: set[str] = set()
    due_s = time.monotonic() + LIMIT_S
    while not found and time.monotonic() < due_s:
        violations = Publication().check(session(20_000, flag_first=True)).violations
        found = {violation.anomaly for violation in violations}
    assert found == {"stale data"}
