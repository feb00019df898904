"""`StateInvariant`: what it says of a search, and when it says nothing."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from chaos_locust.errors import BackendError, ChaosError
from invariants import Machine, NoAnswer, Refused, StateInvariant, Step, Target, TargetDown, fresh, rule
from invariants.checkers.bank import Bank
from invariants.checkers.elements import SetFull
from invariants.kept import Kept
from invariants.machine import InvalidMachine
from invariants.samples.in_process import Race
from invariants.state_invariant import InvalidSetting

from .toys import Bag, BagKeeps, Client, Switches, invariant, keep_silent, loses, refuse


def test_a_target_that_holds_is_upheld_and_all_sequences_are_run() -> None:
    result = invariant(Bag()).with_iterations(1000).verify()
    assert (result.outcome, result.passed, result.iterations) == ("UPHELD", True, 1000)
    assert 950 < result.told <= 1000  # in a few nothing was added
    assert result.never_fired == ()
    assert set(result.code_paths_exercised) == {("", "add", "ok"), ("", "read", "ok")}


def test_a_defect_of_three_steps_is_shown_in_three_steps() -> None:
    target = Bag(loses(random.Random(0), 1.0))
    result = invariant(target).with_iterations(1000).verify()
    (found,) = result.violations
    assert result.outcome == "DEVIATED"
    assert [step.rule for step in found.steps] == ["add", "add", "add"]  # and the closing read
    assert found.title == "0 was acknowledged and is gone"
    assert found.shortened
    assert (found.seen_again.failed, found.seen_again.tries) == (20, 20)


def test_the_same_seed_finds_the_same() -> None:
    def found(seed: int) -> Any:
        result = invariant(Bag(loses(random.Random(0), 1.0)), seed=seed).verify()
        return result.iterations, result.violations[0].steps

    assert found(5) == found(5)


def test_a_run_that_is_told_what_it_has_done() -> None:
    told: list[tuple[int, int]] = []
    invariant(Bag()).with_iterations(3).verify(lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(("before", "outcome"), [(refuse, "fail"), (keep_silent, "info")])
def test_where_nothing_works_nothing_is_said(before: Any, outcome: str) -> None:
    result = invariant(Bag(before)).with_iterations(5).verify()
    assert result.outcome == "INCONCLUSIVE"
    assert result.inconclusive
    assert {told for _, _, told in result.code_paths_exercised} == {outcome}


def test_a_target_that_is_down_at_the_start_is_inconclusive() -> None:
    target = Bag(down=True)
    result = invariant(target).verify()
    assert (result.outcome, result.inconclusive) == ("INCONCLUSIVE", "the bag is not there")
    assert (result.iterations, target.opened) == (0, 0)


def test_a_target_that_goes_down_on_the_way_is_inconclusive() -> None:
    class Short(Bag):
        def connect(self, scope: str) -> Client:
            if self.opened == 3:
                raise TargetDown("it went away")
            return super().connect(scope)

    result = invariant(Short()).verify()
    assert (result.outcome, result.inconclusive) == ("INCONCLUSIVE", "it went away")
    assert result.iterations == 3


def test_an_operation_without_end_is_inconclusive_and_not_waited_for(tmp_path: Path) -> None:
    Kept(tmp_path).add(BagKeeps, [(Step(0, "add", {"value": 0}),)])  # nothing has to be drawn first
    never = threading.Event()
    target = Bag(lambda kind, there: never.wait() and None)
    try:
        result = invariant(target).with_kept_in(tmp_path).with_budget("200ms").verify()
    finally:
        never.set()
    assert result.outcome == "INCONCLUSIVE"
    assert result.inconclusive == "add(value=0) of bag_keeps had no end within 0.2 s"


def test_a_budget_that_is_spent_before_anything_is_inconclusive() -> None:
    result = invariant(Bag()).with_budget("0.001us").verify()
    assert (result.outcome, result.iterations) == ("INCONCLUSIVE", 0)
    assert "budget" in result.inconclusive


def test_a_rule_that_is_never_called_is_said() -> None:
    @dataclass
    class Shy(BagKeeps):
        @rule(weight=0, value=fresh())
        def remove(self, client: Client, value: int) -> None:
            raise NotImplementedError

    result = invariant(Bag(), Shy).with_iterations(5).verify()
    assert (result.outcome, result.never_fired) == ("UPHELD", ("remove",))


def test_a_state_that_must_be_reached_and_is_not_is_inconclusive() -> None:
    @dataclass
    class Full(BagKeeps):
        must_reach = ("full",)

        def state(self) -> str:
            return "full" if len(self.target.bags.get(self.scope, ())) >= 5 else "free"

    reached = invariant(Bag(), Full).with_iterations(20).verify()
    missed = invariant(Bag(), Full).with_iterations(20).with_steps(3).verify()
    assert reached.outcome == "UPHELD"
    assert (missed.outcome, missed.inconclusive) == ("INCONCLUSIVE", "never reached: full")


def test_an_assert_of_a_rule_is_enough() -> None:
    @dataclass
    class Counts(Machine):
        """Balances are read by a checker that could not read an answer that is missing."""

        name = "counts"
        checker = Bank(0)

        @rule()
        def read(self, client: Client) -> dict[str, int]:
            there = client.read()
            assert len(there) < 3, f"{len(there)} are there"
            return {}

        @rule(value=fresh())
        def add(self, client: Client, value: int) -> None:
            client.add(value)

    (found,) = invariant(Bag(), Counts).verify().violations
    assert (found.title.partition("\n")[0], found.violation.anomaly) == ("3 are there", "assert")
    assert [step.rule for step in found.steps] == ["add", "add", "add", "read"]


def test_replay_says_how_often_it_failed_again() -> None:
    rng = random.Random(1)
    result = invariant(Bag(loses(rng, 0.5))).verify()
    (found,) = result.violations
    again = found.replay(40)
    assert again.tries == 40
    assert 5 < again.failed < 35
    assert str(again) == f"reproduced {again.failed} of 40"


def test_faults_that_are_needed_are_named_and_no_others() -> None:
    faults = Switches("a", "b")

    def lose(kind: str, there: list[int]) -> None:
        if kind == "add" and "a" in faults.acting and there:
            there.clear()

    checked = invariant(Bag(lose)).with_faults(faults)
    (found,) = checked.verify().violations
    assert found.necessary_faults == ("a",)
    assert sorted(step.rule for step in found.steps) == ["add", "add", "inject"]
    assert faults.acting == set()
    assert invariant(Bag(lose)).verify().outcome == "UPHELD"


def test_a_fault_that_cannot_be_injected_is_no_verdict() -> None:
    faults = Switches("a", broken="a")
    with pytest.raises(BackendError, match="a could not be injected"):
        invariant(Bag()).with_faults(faults).verify()


def test_lanes_find_what_one_connection_alone_does_not() -> None:
    class Crowded(Bag):
        """Who comes while another one is there takes everything away."""

        inside = 0

    def crowd(kind: str, there: list[int]) -> None:
        target.inside += 1
        race.meet()
        if target.inside > 1:
            there.clear()
        target.inside -= 1

    race, target = Race(), Crowded(crowd)
    assert invariant(target).with_iterations(5).verify().outcome == "UPHELD"
    assert invariant(target).with_concurrency(4).verify().outcome == "DEVIATED"


@dataclass
class NeverNegative(Machine):
    """Whatever is booked, the sum is never below 0."""

    name = "never_negative"
    guarded: bool = True

    @property
    def checker(self) -> Bank:
        return Bank(0, may_be_negative=True)

    @rule(value=st.integers(-3, 3))
    def transfer(self, client: Client, value: int) -> None:
        if self.guarded and sum(client.read()) + value < 0:
            raise Refused("it would be below 0")
        client.add(value)

    @rule(closing=True)
    def read(self, client: Client) -> dict[str, int]:
        assert sum(client.read()) >= 0, "the sum is below 0"
        return {"difference": 0}


def test_an_invariant_of_ones_own_is_checked_as_the_built_in_ones_are() -> None:
    held = StateInvariant.custom(NeverNegative, Bag()).with_kept_in(None).with_iterations(100).verify()
    assert (held.outcome, held.iterations) == ("UPHELD", 100)
    assert held.statement == "Whatever is booked, the sum is never below 0."
    broken = StateInvariant.custom(NeverNegative, Bag(), guarded=False).with_kept_in(None).verify()
    (found,) = broken.violations
    assert found.title.partition("\n")[0] == "the sum is below 0"
    assert len(found.steps) == 1


MACHINES_THAT_ARE_NOT: dict[str, tuple[dict[str, Any], str]] = {
    "no rules": ({"name": "bare", "checker": SetFull()}, "Made has no rule that could be drawn"),
    "no name": ({"checker": SetFull()}, "Made has the name ''"),
    "a name that no test can have": ({"name": "my bag", "checker": SetFull()}, "Made has the name 'my bag'"),
    "no checker": ({"name": "unchecked"}, "Made has no checker"),
}


@pytest.mark.parametrize("what", MACHINES_THAT_ARE_NOT)
def test_a_machine_that_cannot_be_run_is_named(what: str) -> None:
    members, message = MACHINES_THAT_ARE_NOT[what]
    if what != "no rules":
        members = {**members, "add": BagKeeps.add}
    made = dataclass(type("Made", (Machine,), members))
    with pytest.raises(InvalidMachine, match=message):
        invariant(Bag(), made).with_iterations(1).verify()


def test_a_rule_and_its_arguments_must_fit() -> None:
    def put(self: Any, client: Any, value: int) -> None: ...

    with pytest.raises(InvalidMachine, match="rule put takes value besides its client; given are element"):
        rule(element=fresh())(put)


def test_a_checker_that_cannot_read_what_was_done_is_told() -> None:
    @dataclass
    class Wrong(BagKeeps):
        checker = Bank(0)

    with pytest.raises(InvalidMachine, match="the checker bank cannot read what bag_keeps has done"):
        invariant(Bag(), Wrong).verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda made: made.with_iterations(0), "iterations 0 is not allowed; give 1 or more"),
        (lambda made: made.with_steps(-1), "steps -1 is not allowed"),
        (lambda made: made.with_concurrency(0), "concurrency 0 is not allowed"),
        (lambda made: made.with_budget("soon"), "budget: 'soon' is no duration"),
        (lambda made: StateInvariant.custom(BagKeeps, Bag(), size=3), "bag_keeps has no option 'size'"),
        (lambda made: StateInvariant.named("no_such", Bag()), "there is no invariant 'no_such'"),
    ],
)
def test_a_setting_that_is_not_allowed_is_named(change: Any, message: str) -> None:
    with pytest.raises(ChaosError, match=message):
        change(invariant(Bag()))


def test_what_a_machine_keeps_for_itself_is_no_option() -> None:
    with pytest.raises(InvalidSetting, match="has no option 'tried'; allowed: none"):
        StateInvariant.named("transactions_are_atomic", Target(), tried=["x"])


def test_what_had_no_answer_may_be_there_or_not() -> None:
    rng = random.Random(3)

    def unsure(kind: str, there: list[int]) -> None:
        if kind == "add" and rng.random() < 0.5:
            raise NoAnswer("nothing came")

    result = invariant(Bag(unsure)).with_iterations(20).verify()
    assert result.outcome == "UPHELD"
    assert ("", "add", "info") in result.code_paths_exercised
