"""Locks, counters, stocks, tasks, visibility at real concurrency: threads, processes, a Valkey server."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from invariants import Step
from invariants.catalogue import machine_of
from invariants.checkers.exclusion import Exclusion, together, waits_s
from invariants.checkers.publication import Publication
from invariants.draw import drawn
from invariants.execute import execute
from invariants.history import History
from invariants.machine import Machine
from invariants.runner import Runner
from invariants.samples.exclusion import Line, Locks
from invariants.samples.initialised import Lazy
from tests.servers.redis import Server
from tests.servers.redis import server as running

from . import redis_races as races
from .shared_words import session

LIMIT_S = 120.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("valkey") as found:
        yield found


def at_once(machine: Machine, *steps: tuple[str, dict[str, Any]], lanes: int) -> History:
    """Every lane does all of the steps, all lanes at the same time."""
    each = [(rule, given, lane) for lane in range(lanes) for rule, given in steps]
    drawn = [Step(number, rule, given, lane) for number, (rule, given, lane) in enumerate(each)]
    return execute(machine, drawn, None, LIMIT_S).history


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
    assert sum(not each.inconclusive for each in checked) > 10
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


@dataclass
class Gate(Locks):
    """Who holds waits until so many have arrived: all of them hold or stand in line at the same time.

    in_flight: the most that did, as the lock's own side counted them.
    """

    parties: int = 1
    in_flight: int = 0
    arrived: threading.Event = field(default_factory=threading.Event, repr=False)

    def __post_init__(self) -> None:
        self.patience_s = LIMIT_S
        self._count, self._guard = 0, threading.Lock()

    def connect(self, scope: str) -> Line:
        return self.kept.setdefault(scope, _Gauged(self))

    def sleep(self, seconds: float) -> None:
        assert self.arrived.wait(LIMIT_S), f"{self.in_flight} of {self.parties} came"
        time.sleep(0)

    def came(self, more: int) -> None:
        with self._guard:
            self._count += more
            self.in_flight = max(self.in_flight, self._count)
            if self._count >= self.parties:
                self.arrived.set()


class _Gauged(Line):
    def __init__(self, gate: Gate) -> None:
        super().__init__(gate)
        self._gate = gate

    def _stand_in_line(self, shared: bool) -> dict[str, float]:
        self._gate.came(1)
        return super()._stand_in_line(shared)

    def release(self) -> None:
        super().release()
        self._gate.came(-1)

    def release_shared(self) -> None:
        super().release_shared()
        self._gate.came(-1)


@pytest.mark.parametrize("waiters", [1, 10, 50])
def test_one_mutex_and_many_who_want_it(waiters: int) -> None:
    gate = Gate(parties=waiters)
    machine = machine_of("locks_exclude")(gate, "m", most_overtaken=0)
    history = at_once(machine, *[("hold", {})] * 5, lanes=waiters)
    checked = machine.checker.check(history)
    assert gate.in_flight == waiters
    assert checked.violations == ()
    assert bool(checked.inconclusive) == (waiters == 1)
    assert len(waits_s(history)) == 5 * waiters
    assert max(map(len, together(history.of("hold")))) == 1


def test_readers_are_together_and_writers_alone() -> None:
    gate = Gate(parties=12)
    machine = machine_of("writers_are_alone")(gate, "rw", most_overtaken=0)
    readers = [Step(lane, "share", {}, lane) for lane in range(10)]
    writers = [Step(10 + lane, "hold", {}, 10 + lane) for lane in range(2)]
    history = execute(machine, readers + writers, None, LIMIT_S).history
    assert machine.checker.check(history).passed
    assert max(map(len, together(history.of("share")))) > 1
    assert max(map(len, together(history.of("hold")))) == 1


@pytest.mark.parametrize(("planted", "passes"), [("", True), ("readers pass waiting writers", False)])
def test_a_writer_is_not_passed_over_by_steady_readers(planted: Any, passes: bool) -> None:
    machine = machine_of("writers_are_alone")(Locks(planted, patience_s=LIMIT_S), "rw", hold_s=0.001)
    readers = [Step(10 * lane + n, "share", {}, lane) for lane in range(6) for n in range(40)]
    writers = [Step(1000 + n, "hold", {}, 6) for n in range(3)]
    history = execute(machine, readers + writers, None, LIMIT_S).history
    found = Exclusion(most_overtaken=0).check(history)
    assert found.passed is passes, found
    if not passes:
        assert max(len(each.operations) for each in found.violations) > 10


@pytest.mark.parametrize("permits", [1, 5, 20])
def test_a_semaphore_lets_in_as_many_as_it_has(permits: int) -> None:
    gate = Gate(capacity=permits, parties=50)
    machine = machine_of("locks_exclude")(gate, "s", capacity=permits)
    history = at_once(machine, ("hold", {}), lanes=50)
    assert machine.checker.check(history).passed
    assert max(map(len, together(history.of("hold")))) == permits


def test_a_thousand_on_a_pool_of_twenty() -> None:
    gate = Gate(capacity=20, parties=1000)
    machine = machine_of("locks_exclude")(gate, "pool", capacity=20, most_overtaken=0)
    history = at_once(machine, ("hold", {}), lanes=1000)
    checked = machine.checker.check(history)
    assert gate.in_flight == 1000
    assert checked.passed, checked
    assert checked.seen["holds"] == 1000, "all were served in the end"
    assert max(map(len, together(history.of("hold")))) == 20
    assert len(waits_s(history)) == 1000


def test_a_pool_that_serves_the_last_first_is_found() -> None:
    gate = Gate("serves the last first", capacity=5, parties=100)
    machine = machine_of("locks_exclude")(gate, "pool", capacity=5, most_overtaken=0)
    found = machine.checker.check(at_once(machine, ("hold", {}), lanes=100)).violations
    assert {each.anomaly for each in found} == {"overtaken"}


@pytest.mark.parametrize("many", [100, 1000])
@pytest.mark.parametrize("planted", ["", "has no lock"])
def test_many_want_what_is_not_there_yet(many: int, planted: Any) -> None:
    machine = machine_of("initialised_once")(Lazy(planted), "cold")
    history = at_once(machine, ("request", {"value": "a"}), lanes=many)
    (log,) = history.of("executions")
    assert len(history.of("request")) == many
    if planted:
        assert len(log.result) > 1
        assert machine.checker.check(history).violations
    else:
        assert log.result == ["a"]
        assert {op.result for op in history.of("request")} == {1}
        assert machine.checker.check(history).passed


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
    assert flags > 100, "they were hardly under way at the same time"


def test_a_flag_that_is_set_before_its_data_is_found() -> None:
    found: set[str] = set()
    due_s = time.monotonic() + LIMIT_S
    while not found and time.monotonic() < due_s:
        violations = Publication().check(session(20_000, flag_first=True)).violations
        found = {violation.anomaly for violation in violations}
    assert found == {"stale data"}
