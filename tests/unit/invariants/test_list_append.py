"""Histories of known anomalies get exactly their names.

G0, G1a-c and G2 after Adya, "Weak Consistency" (1999), section 3; read skew (G-single) and lost update (P4)
as in Berenson et al., "A Critique of ANSI SQL Isolation Levels" (1995), as transactions over lists.
"""

from __future__ import annotations

from typing import Any

import pytest

from invariants.checkers.list_append import ListAppend
from invariants.history import History, InvalidHistory

from .histories import history, operation


def transactions(*rows: tuple[Any, ...]) -> History:
    """Each: what it asked with what it read, and its outcome where it is not ok. All at the same time."""
    made = []
    for place, (steps, *outcome) in enumerate(rows):
        asked = [[kind, key, value if kind == "append" else None] for kind, key, value in steps]
        made.append(
            operation(f"p{place}", "txn", asked, steps, at=(0, 1), outcome=outcome[0] if outcome else "ok")
        )
    return history(*made)


ANOMALIES: dict[str, tuple[History, list[str]]] = {
    "serial": (
        transactions(
            ([["append", "x", 1], ["r", "x", [1]]],),
            ([["append", "x", 2]],),
            ([["r", "x", [1, 2]], ["append", "y", 1]],),
            ([["r", "x", []], ["r", "y", []]],),
        ),
        [],
    ),
    "dirty write": (
        transactions(
            ([["append", "x", 1], ["append", "y", 1]],),
            ([["append", "x", 2], ["append", "y", 2]],),
            ([["r", "x", [1, 2]]],),
            ([["r", "y", [2, 1]]],),
        ),
        ["G0"],
    ),
    "aborted read": (transactions(([["append", "x", 1]], "fail"), ([["r", "x", [1]]],)), ["G1a"]),
    "intermediate read": (
        transactions(
            ([["append", "x", 1], ["append", "x", 2]],), ([["r", "x", [1]]],), ([["r", "x", [1, 2]]],)
        ),
        ["G1b"],
    ),
    "circular information flow": (
        transactions(([["append", "x", 1], ["r", "y", [2]]],), ([["append", "y", 2], ["r", "x", [1]]],)),
        ["G1c"],
    ),
    "lost update": (
        transactions(
            ([["r", "x", []], ["append", "x", 1]],),
            ([["r", "x", []], ["append", "x", 2]],),
            ([["r", "x", [1, 2]]],),
        ),
        ["lost update", "G-single"],
    ),
    "lost update that nobody read": (
        transactions(
            ([["r", "x", []], ["append", "x", 1]],),
            ([["r", "x", []], ["append", "x", 2]],),
        ),
        ["lost update", "G2"],
    ),
    "write skew that nobody read": (
        transactions(([["r", "x", []], ["append", "y", 1]],), ([["r", "y", []], ["append", "x", 1]],)),
        ["G2"],
    ),
    "read skew of what nobody read": (
        transactions(
            ([["append", "x", 1], ["append", "y", 1]],),
            ([["r", "x", []], ["r", "y", [1]]],),
        ),
        ["G-single"],
    ),
    "an append without an answer that nobody read": (
        transactions(([["r", "x", []], ["append", "y", 1]],), ([["r", "y", []], ["append", "x", 1]], "info")),
        [],
    ),
    "read skew": (
        transactions(
            ([["append", "x", 1], ["append", "y", 1]],),
            ([["r", "x", []], ["r", "y", [1]]],),
            ([["r", "x", [1]]],),
        ),
        ["G-single"],
    ),
    "write skew": (
        transactions(
            ([["r", "x", []], ["append", "y", 1]],),
            ([["r", "y", []], ["append", "x", 1]],),
            ([["r", "x", [1]], ["r", "y", [1]]],),
        ),
        ["G2"],
    ),
    "two orders": (
        transactions(
            ([["append", "x", 1]],), ([["append", "x", 2]],), ([["r", "x", [1, 2]]],), ([["r", "x", [2]]],)
        ),
        ["incompatible order"],
    ),
    "own write unseen": (transactions(([["append", "x", 1], ["r", "x", []]],)), ["internal"]),
    "twice": (transactions(([["append", "x", 1]],), ([["r", "x", [1, 1]]],)), ["duplicate"]),
    "from nowhere": (transactions(([["r", "x", [7]]],)), ["unwritten"]),
    "no answer, but it happened": (
        transactions(([["append", "x", 1]], "info"), ([["r", "x", [1]], ["append", "y", 1]],)),
        [],
    ),
}


@pytest.mark.parametrize("what", ANOMALIES)
def test_it_gets_exactly_its_name(what: str) -> None:
    given, names = ANOMALIES[what]
    found = ListAppend().check(given)
    assert [violation.anomaly for violation in found.violations] == names


def test_what_a_level_does_not_promise_is_allowed() -> None:
    given, _ = ANOMALIES["write skew"]
    assert ListAppend(frozenset({"G2"})).check(given).passed


def test_without_reads_nothing_is_said() -> None:
    assert "no transaction read" in ListAppend().check(transactions(([["append", "x", 1]],))).inconclusive


def test_without_an_append_that_was_acknowledged_nothing_is_said() -> None:
    given = transactions(([["append", "x", 1]], "fail"), ([["r", "x", []]],))
    assert "no append was acknowledged" in ListAppend().check(given).inconclusive


def test_an_element_that_is_appended_twice_is_refused() -> None:
    with pytest.raises(InvalidHistory, match="the element 1 is appended twice to x"):
        ListAppend().check(transactions(([["append", "x", 1]],), ([["append", "x", 1]],)))
