"""Invariants of one's own: run like the built-in ones, and what they exercised is told as it was."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st

from invariants.checkers.base import Checked, Violation
from invariants.history import History
from invariants.machine import Machine, NoAnswer, Refused, rule
from invariants.state_invariant import InvalidSetting, StateInvariant
from invariants.targets.base import Target


@dataclass(frozen=True)
class SoldAtMost:
    pieces: int
    name = "sold-at-most"

    def check(self, history: History) -> Checked:
        sold = tuple(each for each in history.of("sell") if each.happened)
        found = (Violation(self.name, f"{len(sold)} were sold", sold),) if len(sold) > self.pieces else ()
        return Checked(found)


@dataclass
class NeverOversold(Machine):
    """No more is sold than there was."""

    name = "never_oversold"
    pieces: int = 3

    @property
    def checker(self) -> SoldAtMost:
        return SoldAtMost(self.pieces)

    @rule(value=st.integers(0, 9))
    def sell(self, client: Shelf, value: int) -> None:
        client.sell(self.scope, value)

    @rule()
    def count(self, client: Shelf) -> int:
        return client.count(self.scope)


@dataclass
class Shelf(Target):
    """Three pieces. Writes down what was asked of it, and what it answered, by scope."""

    careless: bool = False
    sold: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    told: dict[str, set[tuple[str, str, str]]] = field(default_factory=lambda: defaultdict(set))

    def connect(self, scope: str) -> Shelf:
        return self

    def sell(self, scope: str, value: int) -> None:
        if value == 0:
            self.told[scope].add(("", "sell", "info"))
            raise NoAnswer("lost")
        if self.sold[scope] == 3 and not self.careless:
            self.told[scope].add(("", "sell", "fail"))
            raise Refused("sold out")
        self.sold[scope] += 1
        self.told[scope].add(("", "sell", "ok"))

    def count(self, scope: str) -> int:
        self.told[scope].add(("", "count", "ok"))
        return self.sold[scope]


def search(target: Target, **options: Any) -> StateInvariant:
    return StateInvariant.custom(NeverOversold, target, **options).with_kept_in(None).with_seed(7)


def test_it_runs_as_often_as_it_is_told_and_holds() -> None:
    shelf = Shelf()
    result = search(shelf).with_iterations(100).verify()
    assert (result.outcome, result.iterations, result.violations) == ("UPHELD", 100, ())
    assert len(shelf.told) == 100


@pytest.mark.parametrize(
    ("target", "options", "shortest"),
    [(Shelf(careless=True), {}, 4), (Shelf(), {"pieces": 2}, 3)],
    ids=["the target is broken", "its check is broken"],
)
def test_it_fails_where_it_should(target: Shelf, options: dict[str, int], shortest: int) -> None:
    result = search(target, **options).with_iterations(100).verify()
    assert (result.outcome, result.passed) == ("DEVIATED", False)
    (found,) = result.violations
    assert [step.rule for step in found.steps] == ["sell"] * shortest
    assert found.replay(tries=5).failed == 5


def test_an_option_that_it_does_not_have_is_told() -> None:
    with pytest.raises(InvalidSetting, match="never_oversold has no option 'piece'; allowed: pieces"):
        search(Shelf(), piece=1)


def test_what_was_exercised_grows_and_is_what_the_target_saw() -> None:
    met = []
    for iterations in (1, 5, 200):
        shelf = Shelf()
        result = search(shelf).with_iterations(iterations).with_steps(8).verify()
        assert result.code_paths_exercised == Counter(path for seen in shelf.told.values() for path in seen)
        assert result.passed == (not result.violations)
        met.append(set(result.code_paths_exercised))
    everything = {("", "sell", "ok"), ("", "sell", "fail"), ("", "sell", "info"), ("", "count", "ok")}
    assert met[0] <= met[1] <= met[2] == everything
    assert met[0] < everything


def test_a_rule_that_was_never_called_is_told() -> None:
    result = search(Shelf()).with_iterations(1).with_steps(1).verify()
    assert set(result.never_fired) == {"sell", "count"} - {path[1] for path in result.code_paths_exercised}
    assert len(result.never_fired) == 1
