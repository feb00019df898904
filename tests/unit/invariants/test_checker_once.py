"""Tasks: executed once, whoever asked for them."""

from __future__ import annotations

from typing import Any

import pytest

from invariants.checkers.once import RunOnce

from .histories import history, operation

op = operation


def anomalies(outcome: str, executed: list[Any], same_result: bool = False) -> list[str]:
    asked = op("a", "request", "t", at=(0, 1), outcome=outcome)
    checked = RunOnce(same_result).check(history(asked, op("b", "executions", result=executed, at=(2, 3))))
    return [found.anomaly for found in checked.violations]


@pytest.mark.parametrize(
    ("outcome", "executed", "expected"),
    [
        ("ok", ["t"], []),
        ("ok", [], ["never"]),
        ("ok", ["t", "t"], ["twice"]),
        ("info", ["t"], []),
        ("info", [], []),
        ("info", ["t", "t"], ["twice"]),
        ("fail", [], []),
        ("fail", ["t"], ["unasked"]),
        ("ok", ["t", "u"], ["unasked"]),
    ],
)
def test_what_was_asked_for_and_executed(outcome: str, executed: list[str], expected: list[str]) -> None:
    assert anomalies(outcome, executed) == expected


def test_many_may_ask_for_the_same() -> None:
    asked = [op(process, "request", "t", result=1, at=(0, 1)) for process in "abc"]
    log = op("a", "executions", result=["t"], at=(2, 3))
    assert RunOnce(same_result=True).check(history(*asked, log)).passed
    other = op("d", "request", "t", result=2, at=(0, 1))
    (found,) = RunOnce(same_result=True).check(history(*asked, other, log)).violations
    assert (found.anomaly, found.title) == ("two instances", "'t' has 2 different results")
    assert RunOnce().check(history(*asked, other, log)).passed


def test_what_is_asked_for_after_the_log_may_run_later() -> None:
    first, log = op("a", "request", "t", at=(0, 1)), op("b", "executions", result=["t"], at=(2, 4))
    assert RunOnce().check(history(first, log, op("a", "request", "u", at=(3, 5)))).passed


def test_without_a_log_or_a_request_nothing_is_said() -> None:
    assert "not told" in RunOnce().check(history(op("a", "request", "t", at=(0, 1)))).inconclusive
    assert "no request" in RunOnce().check(history(op("a", "executions", result=[], at=(0, 1)))).inconclusive
