"""Each checker: a correct history passes, the anomaly gets its name, and too little is no pass."""

from __future__ import annotations

import pytest

from invariants.checkers.atomic import TransactionAtomicity
from invariants.checkers.bank import Bank
from invariants.checkers.base import Checked, Checker
from invariants.checkers.breaker import CircuitBreaker
from invariants.checkers.cache import CacheConsistency, SingleFlight
from invariants.checkers.elements import SetFull
from invariants.checkers.linearizable import Linearizable
from invariants.checkers.queue import TotalQueue
from invariants.checkers.rates import ErrorRateLimited, LatencyBounded
from invariants.checkers.sessions import SessionGuarantees
from invariants.history import History

from .histories import history, operation

op = operation
GOOD: dict[str, tuple[Checker, History]] = {
    "register": (
        Linearizable(),
        history(
            op("a", "write", 1, at=(0, 1)),
            op("b", "read", result=None, at=(0, 1)),  # at the same time: either is right
            op("b", "read", result=1, at=(2, 3)),
            op("c", "write", 2, at=(4, 5), outcome="info"),
            op("b", "read", result=2, at=(9, 10)),  # it did happen
            op("b", "cas", [2, 3], at=(11, 12)),
            op("a", "read", result=3, at=(13, 14)),
        ),
    ),
    "counter": (
        Linearizable("counter", 0),
        history(
            op("a", "add", 2, at=(0, 1)),
            op("c", "add", 5, at=(0, 1), outcome="info"),
            op("b", "read", result=2, at=(2, 3)),
            op("b", "read", result=7, at=(4, 5)),
        ),
    ),
    "queue": (
        TotalQueue(),
        history(
            op("a", "enqueue", "m1", at=(0, 1)),
            op("a", "enqueue", "m2", at=(2, 3)),
            op("b", "dequeue", result="m1", at=(0, 2)),
            op("c", "enqueue", "m3", at=(2, 3), outcome="info"),
            op("b", "drain", result=["m2", "m3"], at=(5, 6)),
        ),
    ),
    "set": (
        SetFull(),
        history(
            op("a", "add", 1, at=(0, 1)),
            op("b", "read", result=[], at=(0.5, 2)),
            op("b", "read", result=[1], at=(3, 4)),
        ),
    ),
    "bank": (
        Bank(10),
        history(
            op("a", "transfer", {"from": "x", "to": "y", "amount": 3}, at=(0, 1)),
            op("b", "read", result={"x": 2, "y": 8}, at=(2, 3)),
        ),
    ),
    "sessions": (
        SessionGuarantees(),
        history(
            op("a", "write", 1, key="x", at=(0, 1)),
            op("a", "read", result=2, key="x", at=(2, 3)),
            op("b", "read", result=None, key="x", at=(2, 3)),
        ),
    ),
    "sessions that write at the same time": (
        SessionGuarantees(),
        history(
            op("a", "write", 1, key="x", at=(0, 3)),
            op("b", "write", 2, key="x", at=(0, 1)),
            op("b", "read", result=2, key="x", at=(1.5, 2)),
            op("b", "read", result=1, key="x", at=(4, 5)),  # the one with the smaller number came later
        ),
    ),
    "a write without an answer that comes late": (
        SessionGuarantees(),
        history(
            op("a", "write", 1, key="x", at=(0, 1), outcome="info"),
            op("b", "write", 2, key="x", at=(2, 3)),
            op("b", "read", result=2, key="x", at=(4, 5)),
            op("b", "read", result=1, key="x", at=(6, 7)),
        ),
    ),
    "elements at the same instant": (
        SetFull(),
        history(
            op("a", "add", 1, at=(0, 0)),
            op("b", "read", result=[], at=(0, 0)),  # a coarse clock does not tell which was first
            op("b", "read", result=[1], at=(1, 1)),
        ),
    ),
    "cache": (
        CacheConsistency(2),
        history(
            op("a", "write", 1, key="x", at=(0, 1)),
            op("a", "write", 2, key="x", at=(2, 3)),
            op("b", "read", result=1, key="x", at=(4, 4.5)),  # 1 s after it was overwritten
            op("b", "read", result=2, key="x", at=(6, 7)),
        ),
    ),
    "flight": (
        SingleFlight(5),
        history(
            op("a", "get", key="x", at=(0, 1)),
            op("b", "get", key="x", at=(2, 3)),
            op("o", "origin", key="x", at=(0.1, 0.9)),
            op("p", "origin", key="y", at=(0.1, 0.9)),
            op("o", "origin", key="x", at=(5.2, 5.3)),
        ),
    ),
    "breaker": (
        CircuitBreaker(2),
        history(
            op("x", "break_dependency", at=(0, 0)),
            op("a", "call", at=(1, 2), outcome="fail", error="502"),
            op("a", "call", at=(3, 3), outcome="fail", error="open"),
            op("x", "heal_dependency", at=(4, 4)),
            op("a", "call", at=(5, 5), outcome="fail", error="open"),
            op("a", "call", at=(7.5, 8)),
        ),
    ),
    "breaker that a late failure opens again": (
        CircuitBreaker(2),
        history(
            op("x", "break_dependency", at=(0, 0)),
            op("a", "call", at=(1, 7), outcome="fail", error="502"),  # it hung until after the heal
            op("b", "call", at=(2, 2), outcome="fail", error="open"),
            op("x", "heal_dependency", at=(4, 4)),
            op("b", "call", at=(8, 8), outcome="fail", error="open"),
            op("b", "call", at=(11, 11)),
        ),
    ),
    "breaker under a fault": (
        CircuitBreaker(2),
        History(
            history(
                op("x", "break_dependency", at=(0, 0)),
                op("a", "call", at=(1, 1), outcome="fail", error="open"),
                op("x", "heal_dependency", at=(2, 2)),
                op("a", "call", at=(9, 9), outcome="fail", error="open"),
                op("a", "call", at=(13.5, 14)),
            ).operations,
            (("cut", 3, 11),),
        ),
    ),
    "breaker, healed and broken at once": (
        CircuitBreaker(2),
        history(
            op("a", "call", at=(1, 1), outcome="fail", error="open"),
            op("x", "break_dependency", at=(2, 4)),
            op("y", "heal_dependency", at=(3, 5)),  # perhaps before it was broken
            op("a", "call", at=(9, 9), outcome="fail", error="open"),
            op("y", "heal_dependency", at=(10, 10)),
            op("a", "call", at=(13.5, 14)),
        ),
    ),
    "cache, what was there before": (
        CacheConsistency(2),
        history(
            op("a", "write", 1, key="x", at=(0, 1)),
            op("b", "read", key="x", at=(2, 2.5)),  # 1 s after it was overwritten
            op("b", "read", result=1, key="x", at=(6, 7)),
        ),
    ),
    "latency of nine in ten": (
        LatencyBounded(1, 0.9),
        history(*(op("a", "get", at=(2 * i, 2 * i + (0.5 if i % 10 else 1.5))) for i in range(1000))),
    ),
    "latency": (LatencyBounded(1), history(*(op("a", "get", at=(i, i + 0.5)) for i in range(300)))),
    "errors": (ErrorRateLimited(0.01), history(*(op("a", "get", at=(i, i + 0.5)) for i in range(300)))),
    "atomicity": (
        TransactionAtomicity(),
        history(
            op("a", "transaction", {"x": 1, "y": 1}, at=(0, 1)),
            op("b", "read", result={"x": None, "y": None}, at=(0.5, 0.6)),
            op("b", "read", result={"x": 1, "y": 1}, at=(2, 3)),
            op("c", "transaction", {"x": 9, "y": 9}, at=(2, 3), outcome="fail"),
        ),
    ),
}
BAD: dict[str, tuple[Checker, History, str]] = {
    "stale read": (
        Linearizable(),
        history(
            op("a", "write", 1, at=(0, 1)),
            op("a", "write", 2, at=(2, 3)),
            op("b", "read", result=1, at=(4, 5)),
        ),
        "",
    ),
    "lost update": (
        Linearizable("counter", 0),
        history(
            op("a", "add", 1, at=(0, 2)), op("b", "add", 1, at=(1, 3)), op("c", "read", result=1, at=(4, 5))
        ),
        "",
    ),
    "two winners": (
        Linearizable(initial=0),
        history(op("a", "cas", [0, 1], at=(0, 2)), op("b", "cas", [0, 2], at=(1, 3))),
        "",
    ),
    "lost message": (
        TotalQueue(),
        history(op("a", "enqueue", "m", at=(0, 1)), op("b", "drain", result=[], at=(2, 3))),
        "lost",
    ),
    "doubled message": (
        TotalQueue(),
        history(
            op("a", "enqueue", "m", at=(0, 1)),
            op("b", "dequeue", result="m", at=(2, 3)),
            op("b", "drain", result=["m"], at=(4, 5)),
        ),
        "duplicated",
    ),
    "message from nowhere": (
        TotalQueue(),
        history(
            op("a", "enqueue", "m", at=(0, 1)),
            op("a", "enqueue", "n", at=(2, 3), outcome="fail"),
            op("b", "drain", result=["m", "n"], at=(4, 5)),
        ),
        "unexpected",
    ),
    "lost element": (
        SetFull(),
        history(
            op("a", "add", 1, at=(0, 1)),
            op("b", "read", result=[1], at=(2, 3)),
            op("b", "read", result=[], at=(4, 5)),
        ),
        "lost",
    ),
    "stale set": (
        SetFull(),
        history(
            op("a", "add", 1, at=(0, 1)),
            op("b", "read", result=[], at=(2, 3)),
            op("b", "read", result=[1], at=(4, 5)),
        ),
        "stale",
    ),
    "phantom element": (
        SetFull(),
        history(op("a", "add", 1, at=(0, 1)), op("b", "read", result=[1, 2], at=(2, 3))),
        "phantom",
    ),
    "lost money": (
        Bank(10),
        history(op("a", "transfer", {}, at=(0, 1)), op("b", "read", result={"x": 2, "y": 7}, at=(2, 3))),
        "wrong total",
    ),
    "overdrawn": (
        Bank(10),
        history(op("a", "transfer", {}, at=(0, 1)), op("b", "read", result={"x": -2, "y": 12}, at=(2, 3))),
        "negative balance",
    ),
    "own write unseen": (
        SessionGuarantees(),
        history(op("a", "write", 2, key="x", at=(0, 1)), op("a", "read", result=1, key="x", at=(2, 3))),
        "read your writes",
    ),
    "back in time": (
        SessionGuarantees(),
        history(op("a", "read", result=2, key="x", at=(0, 1)), op("a", "read", result=1, key="x", at=(2, 3))),
        "monotonic reads",
    ),
    "back to a version that was overwritten": (
        SessionGuarantees(),
        history(
            op("a", "write", 7, key="x", at=(0, 1)),
            op("a", "write", 3, key="x", at=(2, 3)),
            op("b", "read", result=3, key="x", at=(4, 5)),
            op("b", "read", result=7, key="x", at=(6, 7)),
        ),
        "monotonic reads",
    ),
    "stale cache": (
        CacheConsistency(2),
        history(
            op("a", "write", 1, key="x", at=(0, 1)),
            op("a", "write", 2, key="x", at=(2, 3)),
            op("b", "read", result=1, key="x", at=(5.5, 6)),
        ),
        "stale read",
    ),
    "cache that keeps what was there before": (
        CacheConsistency(2),
        history(op("a", "write", 1, key="x", at=(0, 1)), op("b", "read", key="x", at=(3.5, 4))),
        "stale read",
    ),
    "stampede": (
        SingleFlight(),
        history(
            op("a", "get", key="x", at=(0, 1)),
            op("o", "origin", key="x", at=(0.1, 0.9)),
            op("p", "origin", key="x", at=(0.2, 0.8)),
        ),
        "stampede",
    ),
    "stuck breaker": (
        CircuitBreaker(2),
        history(
            op("x", "break_dependency", at=(0, 0)),
            op("a", "call", at=(3, 3), outcome="fail", error="open"),
            op("x", "heal_dependency", at=(4, 4)),
            op("a", "call", at=(8, 8), outcome="fail", error="open"),
        ),
        "stuck open",
    ),
    "breaker stuck after a fault": (
        CircuitBreaker(2),
        History(
            history(
                op("a", "call", at=(3, 3), outcome="fail", error="open"),
                op("a", "call", at=(8.5, 9), outcome="fail", error="open"),
            ).operations,
            (("cut", 1, 5),),
        ),
        "stuck open",
    ),
    "breaker stuck for longer than a lost call explains": (
        CircuitBreaker(2),
        history(
            op("x", "break_dependency", at=(0, 0)),
            op("b", "call", at=(3, 3), outcome="info"),
            op("x", "heal_dependency", at=(4, 4)),
            op("a", "call", at=(8, 8), outcome="fail", error="open"),
            op("a", "call", at=(12, 12), outcome="fail", error="open"),
        ),
        "stuck open",
    ),
    "slow": (
        LatencyBounded(1),
        history(*(op("a", "get", at=(2 * i, 2 * i + 1.5)) for i in range(20))),
        "too slow",
    ),
    "errors": (
        ErrorRateLimited(0.01),
        history(
            *(op("a", "get", at=(i, i + 0.5), outcome="fail" if i % 50 == 0 else "ok") for i in range(300))
        ),
        "too many errors",
    ),
    "half a transaction": (
        TransactionAtomicity(),
        history(
            op("a", "transaction", {"x": 1, "y": 1}, at=(0, 1)),
            op("b", "read", result={"x": 1, "y": None}, at=(0.5, 2)),
        ),
        "half seen",
    ),
    "traces": (
        TransactionAtomicity(),
        history(
            op("a", "transaction", {"x": 1, "y": 1}, at=(0, 1), outcome="fail"),
            op("b", "read", result={"x": 1, "y": 1}, at=(2, 3)),
        ),
        "traces",
    ),
    "lost transaction": (
        TransactionAtomicity(),
        history(op("a", "transaction", {"x": 1}, at=(0, 1)), op("b", "read", result={"x": None}, at=(2, 3))),
        "lost",
    ),
}
UNSURE: dict[str, tuple[Checker, History, str]] = {
    "never opened": (
        CircuitBreaker(2),
        history(op("x", "heal_dependency", at=(0, 0)), op("a", "call", at=(9, 9))),
        "never opened",
    ),
    "a lost call may have opened it again": (
        CircuitBreaker(2),
        history(
            op("x", "break_dependency", at=(0, 0)),
            op("b", "call", at=(3, 3), outcome="info"),
            op("x", "heal_dependency", at=(4, 4)),
            op("a", "call", at=(8, 8), outcome="fail", error="open"),
            op("a", "call", at=(9, 9), outcome="fail", error="open"),
        ),
        "may have failed late",
    ),
    "nobody wanted it too": (
        SingleFlight(),
        history(
            op("a", "get", key="x", at=(0, 1)),
            op("o", "origin", key="x", at=(0.1, 0.9)),
            op("a", "get", key="x", at=(2, 3)),
        ),
        "wanted by two",
    ),
    "all refused at once": (
        LatencyBounded(1),
        history(*(op("a", "get", at=(i, i + 0.1), outcome="fail") for i in range(300))),
        "nothing was answered",
    ),
    "never drained": (TotalQueue(), history(op("a", "enqueue", "m", at=(0, 1))), "never drained"),
    "taken without an answer": (
        TotalQueue(),
        history(
            op("a", "enqueue", "m", at=(0, 1)),
            op("c", "dequeue", at=(2, 3), outcome="info"),
            op("b", "drain", result=[], at=(4, 5)),
        ),
        "may have taken",
    ),
    "few": (LatencyBounded(1), history(*(op("a", "get", at=(i, i + 0.5)) for i in range(20))), "too few"),
    "budget": (
        Linearizable(budget=50),
        history(
            *(op(f"p{i}", "write", i, at=(0, 10 + i)) for i in range(12)),
            op("r", "read", result=5, at=(1, 30)),
        ),
        "budget of 50 steps is spent",
    ),
    "not read": (Bank(10), history(op("a", "transfer", {}, at=(0, 1))), "never read"),
    "element not looked for": (SetFull(), history(op("a", "add", 1, at=(0, 1))), "no read came"),
    "element refused": (
        SetFull(),
        history(op("a", "add", 1, at=(0, 1), outcome="fail"), op("a", "read", result=[], at=(2, 3))),
        "nothing was added",
    ),
    "register refused": (
        Linearizable(),
        history(op("a", "write", 1, at=(0, 1), outcome="fail"), op("a", "read", at=(2, 3))),
        "nothing was changed",
    ),
    "register not read": (Linearizable(), history(op("a", "write", 1, at=(0, 1))), "nothing was read"),
    "transaction refused": (
        TransactionAtomicity(),
        history(
            op("a", "transaction", {"x": 1}, at=(0, 1), outcome="fail"),
            op("a", "read", result={"x": None}, at=(2, 3)),
        ),
        "no transaction was acknowledged",
    ),
    "nothing in the session": (
        SessionGuarantees(),
        history(
            op("a", "write", 1, key="x", at=(0, 1)),
            op("b", "read", key="x", at=(2, 3)),
            op("b", "read", key="x", at=(4, 5)),
        ),
        "no session read again",
    ),
}


@pytest.mark.parametrize("what", GOOD)
def test_a_correct_history_passes(what: str) -> None:
    checker, given = GOOD[what]
    assert checker.check(given) == Checked((), "", checker.check(given).seen)
    assert checker.check(given).passed


@pytest.mark.parametrize("what", BAD)
def test_a_wrong_history_gets_its_name(what: str) -> None:
    checker, given, anomaly = BAD[what]
    found = checker.check(given)
    assert [violation.anomaly for violation in found.violations] == [anomaly]
    assert found.violations[0].operations
    assert not found.passed


@pytest.mark.parametrize("what", UNSURE)
def test_too_little_is_said_and_is_no_pass(what: str) -> None:
    checker, given, why = UNSURE[what]
    found = checker.check(given)
    assert found.violations == ()
    assert why in found.inconclusive
    assert not found.passed
