"""Many at once on locks, semaphores, pools and what is made on first use: as many as the target counted."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pytest

from invariants import Step
from invariants.catalogue import machine_of
from invariants.checkers.exclusion import Exclusion, together, waits_s
from invariants.execute import execute
from invariants.samples.exclusion import Line, Locks
from invariants.samples.initialised import Instances, Lazy

from .at_once import LIMIT_S, at_once


@dataclass
class Gate(Locks):
    """Who holds waits until so many (`parties`) have come, and so many of them (`holders`) hold.

    in_flight: the most that were between their request and its end, as the lock's own side counted them.
    """

    parties: int = 1
    holders: int = 1
    in_flight: int = 0

    def __post_init__(self) -> None:
        self.patience_s = LIMIT_S
        self._count, self._holding, self._changed = 0, 0, threading.Condition()

    def connect(self, scope: str) -> Line:
        return self.kept.setdefault(scope, _Gauged(self))

    def sleep(self, seconds: float) -> None:
        with self._changed:
            self._holding += 1
            self._changed.notify_all()
            assert self._changed.wait_for(self._open, LIMIT_S), f"{self.in_flight} of {self.parties} came"

    def came(self, more: int) -> None:
        with self._changed:
            self._count += more
            self.in_flight = max(self.in_flight, self._count)
            self._changed.notify_all()

    def _open(self) -> bool:
        return self.in_flight >= self.parties and self._holding >= self.holders


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


def test_readers_are_together() -> None:
    gate = Gate(parties=10, holders=10)
    machine = machine_of("writers_are_alone")(gate, "r")
    history = at_once(machine, ("share", {}), lanes=10)
    assert machine.checker.check(history).violations == ()
    assert max(map(len, together(history.of("share")))) == 10


def test_a_writer_is_alone() -> None:
    gate = Gate(parties=12)
    machine = machine_of("writers_are_alone")(gate, "rw", most_overtaken=0)
    readers = [Step(lane, "share", {}, lane) for lane in range(10)]
    writers = [Step(10 + lane, "hold", {}, 10 + lane) for lane in range(2)]
    history = execute(machine, readers + writers, None, LIMIT_S).history
    assert machine.checker.check(history).passed
    assert max(map(len, together(history.of("hold")))) == 1


@pytest.mark.parametrize(("planted", "passes"), [("", True), ("readers pass waiting writers", False)])
def test_a_writer_is_not_passed_over_by_steady_readers(planted: Any, passes: bool) -> None:
    machine = machine_of("writers_are_alone")(Locks(planted, patience_s=LIMIT_S), "rw", hold_s=0.001)
    readers = [Step(10 * lane + n, "share", {}, lane) for lane in range(6) for n in range(40)]
    writers = [Step(1000 + n, "hold", {}, 6) for n in range(3)]
    history = execute(machine, readers + writers, None, LIMIT_S).history
    found = Exclusion(most_overtaken=0).check(history)
    assert found.passed is passes, found


@pytest.mark.parametrize("permits", [1, 5, 20])
def test_a_semaphore_lets_in_as_many_as_it_has(permits: int) -> None:
    gate = Gate(capacity=permits, parties=50, holders=permits)
    machine = machine_of("locks_exclude")(gate, "s", capacity=permits)
    history = at_once(machine, ("hold", {}), lanes=50)
    assert machine.checker.check(history).passed
    assert max(map(len, together(history.of("hold")))) == permits


def test_a_thousand_on_a_pool_of_twenty() -> None:
    gate = Gate(capacity=20, parties=1000, holders=20)
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


class Awaited(Instances):
    """What is made is not ready before so many have asked for it."""

    def __init__(self, settings: Lazy, many: int) -> None:
        super().__init__(settings)
        self.came, self._many, self._changed = 0, many, threading.Condition()

    def get(self, name: str) -> int:
        with self._changed:
            self.came += 1
            self._changed.notify_all()
        return super().get(name)

    def _make(self, name: str) -> int:
        with self._changed:
            assert self._changed.wait_for(lambda: self.came >= self._many, LIMIT_S)
        return super()._make(name)


@pytest.mark.parametrize("many", [100, 1000])
@pytest.mark.parametrize("planted", ["", "has no lock"])
def test_many_want_what_is_not_there_yet(many: int, planted: Any) -> None:
    target = Lazy(planted)
    instances = target.kept["cold"] = Awaited(target, many)
    machine = machine_of("initialised_once")(target, "cold")
    history = at_once(machine, ("request", {"value": "a"}), lanes=many)
    (log,) = history.of("executions")
    assert instances.came == len(history.of("request")) == many
    if planted:
        assert len(log.result) > 1
        assert machine.checker.check(history).violations
    else:
        assert log.result == ["a"]
        assert {op.result for op in history.of("request")} == {1}
        assert machine.checker.check(history).passed
