"""One sequence: what came of each call, connections, lanes at the same time, faults, and a clean end."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from chaos_locust.errors import ChaosError
from invariants import Machine, Step, fresh, rule
from invariants.checkers.elements import SetFull
from invariants.execute import Execution, Hung, execute
from invariants.machine import InvalidMachine

from .toys import Bag, BagKeeps, Switches, keep_silent, refuse

LIMIT_S = 60.0


def run(bag: Bag, *steps: Step, faults: Any = None, machine: type[Machine] = BagKeeps) -> Execution:
    return execute(machine(bag, "s"), steps, faults, LIMIT_S)


def add(number: int, lane: int = 0) -> Step:
    return Step(number, "add", {"value": number}, lane)


def test_what_a_rule_gives_is_the_answer() -> None:
    done = run(Bag(), add(4))
    assert [(op.kind, op.value, op.outcome, op.result) for op in done.history] == [
        ("add", 4, "ok", None),
        ("read", None, "ok", [4]),
    ]


def test_what_was_refused_did_not_happen() -> None:
    first, _ = run(Bag(refuse), add(4)).history
    assert (first.outcome, first.error, first.process) == ("fail", "not today", "0")


def test_after_no_answer_it_is_another_process_on_another_connection() -> None:
    bag = Bag(keep_silent)
    first, second, closing = run(bag, add(1), add(2)).history
    assert (first.outcome, first.error, first.end_s) == ("info", "nothing came", math.inf)
    assert [op.process for op in (first, second, closing)] == ["0", "0.1", "0.2"]
    assert (bag.opened, bag.closed) == (3, 3)


def test_an_assert_of_a_rule_that_fails_is_told_with_its_operation() -> None:
    @dataclass
    class Wary(BagKeeps):
        @rule(value=fresh())
        def add(self, client: Any, value: int) -> None:
            assert value < 5, f"{value} is too much"

    done = run(Bag(), add(4), add(5), machine=Wary)
    (broken,) = done.broken
    assert (broken.title, broken.anomaly) == ("5 is too much", "assert")
    assert broken.operations[0].value == 5
    assert ("", "add", "broken") in done.paths


def test_what_a_rule_must_not_raise_is_the_machines_fault() -> None:
    def surprise(kind: str, there: list[int]) -> None:
        raise ZeroDivisionError("by zero")

    with pytest.raises(InvalidMachine, match="rule add of bag_keeps raised ZeroDivisionError: by zero"):
        run(Bag(surprise), add(1))


def test_lanes_work_at_the_same_time() -> None:
    both = threading.Barrier(2)

    def meet(kind: str, there: list[int]) -> None:
        if kind == "add":
            both.wait(LIMIT_S)  # nobody comes through alone

    done = run(Bag(meet), add(0, lane=0), add(1, lane=1))
    assert sorted(op.process for op in done.history.of("add")) == ["0", "1"]
    (closing,) = done.history.of("read")
    assert (closing.process, sorted(closing.result)) == ("0", [0, 1])


def test_a_change_of_a_fault_waits_for_all_lanes() -> None:
    faults = Switches("a")
    seen: list[frozenset[str]] = []
    bag = Bag(lambda kind, there: seen.append(frozenset(faults.acting)))
    steps = [add(0), add(1, 1), Step(2, "inject", {}, 0, "a"), add(3), add(4, 1)]
    done = run(bag, *steps, faults=faults)
    assert seen == [frozenset(), frozenset(), frozenset("a"), frozenset("a"), frozenset()]
    assert faults.log == ["inject a", "heal a"]  # healed before the closing read
    ((name, from_s, to_s),) = done.history.faults
    assert name == "a"
    assert from_s <= done.history.of("add")[2].start_s <= done.history.of("add")[3].end_s <= to_s
    assert ("a", "add", "ok") in done.paths


def test_a_fault_that_was_healed_acts_no_more() -> None:
    faults = Switches("a")
    seen: list[frozenset[str]] = []
    bag = Bag(lambda kind, there: seen.append(frozenset(faults.acting)))
    run(bag, Step(0, "inject", {}, 0, "a"), add(1), Step(2, "heal", {}, 0, "a"), add(3), faults=faults)
    assert seen == [frozenset("a"), frozenset(), frozenset()]


def test_whatever_happens_faults_are_healed_and_the_scope_is_forgotten() -> None:
    faults = Switches("a", "b", broken="b")
    bag = Bag()
    steps = [Step(0, "inject", {}, 0, "a"), add(1), Step(2, "inject", {}, 0, "b")]
    with pytest.raises(ChaosError, match="b could not be injected"):
        run(bag, *steps, faults=faults)
    assert faults.log == ["inject a", "heal a"]
    assert bag.bags == {}
    assert bag.opened == bag.closed


def test_an_operation_without_end_is_given_up_and_named() -> None:
    never = threading.Event()
    bag = Bag(lambda kind, there: never.wait() and None)
    try:
        with pytest.raises(Hung, match=r"add\(value=1\) of bag_keeps had no end within 0.05 s"):
            execute(BagKeeps(bag, "s"), [add(1)], None, 0.05)
    finally:
        never.set()
    assert bag.bags == {}


def test_key_and_value_of_an_operation_are_the_arguments() -> None:
    @dataclass
    class Keyed(Machine):
        name = "keyed"
        checker = SetFull()

        @rule(key=fresh(str), value=fresh())
        def one(self, client: Any, key: str, value: int) -> None: ...

        @rule(key=fresh(str), left=fresh(), right=fresh())
        def two(self, client: Any, key: str, left: int, right: int) -> None: ...

        @rule()
        def none(self, client: Any) -> None: ...

    done = run(
        Bag(),
        Step(0, "one", {"key": "x", "value": 1}),
        Step(1, "two", {"key": "y", "left": 1, "right": 2}),
        Step(2, "none", {}),
        machine=Keyed,
    )
    assert [(op.key, op.value) for op in done.history] == [
        ("x", 1),
        ("y", {"left": 1, "right": 2}),
        (None, None),
    ]
