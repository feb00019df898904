"""Updates on condition: of two that are based on the same, one is refused."""

from __future__ import annotations

from invariants.checkers.updates import ConditionalUpdates
from invariants.history import Operation

from .histories import history, operation


def update(process: str, value: str, read: str, from_s: float, until_s: float, end_s: float) -> Operation:
    result = {"read": read, "from_s": from_s, "until_s": until_s}
    return operation(process, "update", value, result, at=(from_s - 0.5, end_s))


REFUSED = operation("r", "update", "B", at=(0, 9), outcome="fail", error="conflict")


def test_one_after_the_other_is_right() -> None:
    done = history(update("a", "B", "A", 1, 2, 3), update("b", "C", "B", 4, 5, 6), REFUSED)
    assert ConditionalUpdates().check(done).passed


def test_two_that_read_the_same_and_were_both_accepted() -> None:
    done = history(update("a", "B", "A", 1, 4, 5), update("b", "C", "A", 2, 3, 6))
    (found,) = ConditionalUpdates().check(done).violations
    assert found.anomaly == "lost update"
    assert {op.process for op in found.operations} == {"a", "b"}


def test_a_value_that_came_back_is_another_version() -> None:
    between = [update("b", "B", "A", 2, 3, 4), update("b", "A", "B", 5, 6, 7)]
    found = ConditionalUpdates().check(history(update("a", "C", "A", 1, 8, 9), *between)).violations
    assert {violation.anomaly for violation in found} == {"ABA"}
    assert "set the same value again" in found[0].title


def test_another_value_in_between_is_a_lost_update() -> None:
    done = history(update("a", "C", "A", 1, 8, 9), update("b", "B", "A", 2, 3, 4))
    (found,) = ConditionalUpdates().check(done).violations
    assert (found.anomaly, [op.process for op in found.operations]) == ("lost update", ["b", "a"])


def test_a_write_at_the_instant_of_the_other_read_proves_nothing() -> None:
    done = history(update("b", "B", "A", 1, 1, 3), update("a", "C", "B", 1, 4, 5), REFUSED)
    assert ConditionalUpdates().check(done).passed


def test_a_read_that_may_have_seen_the_other_proves_nothing() -> None:
    # b read while a's write was under way: it may have read what a wrote.
    done = history(update("a", "B", "A", 1, 2, 5), update("b", "C", "B", 3, 4, 6), REFUSED)
    assert ConditionalUpdates().check(done).passed


def test_an_update_without_an_answer_proves_nothing() -> None:
    silent = operation("s", "update", "B", at=(0, 0), outcome="info")
    assert ConditionalUpdates().check(history(silent, update("a", "B", "A", 1, 4, 5), REFUSED)).passed


def test_without_a_conflict_nothing_is_said() -> None:
    assert (
        "no two updates met"
        in ConditionalUpdates().check(history(update("a", "B", "A", 1, 2, 3))).inconclusive
    )
    assert "no update" in ConditionalUpdates().check(history(REFUSED)).inconclusive
