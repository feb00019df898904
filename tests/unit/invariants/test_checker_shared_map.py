"""Maps: each key is a register, and an iteration reads each of them at some time while it lasts."""

from __future__ import annotations

from invariants.checkers.shared_map import SharedMap

from .histories import history, operation

op = operation
PUT = op("a", "put", 1, key="x", at=(0, 1))


def anomalies(*operations: object) -> list[str]:
    checked = SharedMap().check(history(*operations))  # type: ignore[arg-type]
    return [found.anomaly for found in checked.violations]


def test_what_was_put_is_there_until_it_is_deleted() -> None:
    gone = op("a", "delete", key="x", at=(4, 5))
    there, empty = op("b", "iterate", result={"x": 1}, at=(2, 3)), op("b", "get", key="x", at=(6, 7))
    assert SharedMap().check(history(PUT, there, gone, empty)).passed
    assert anomalies(PUT, op("b", "contents", result={}, at=(2, 3))) == ["unsound"]
    assert anomalies(PUT, gone, op("b", "iterate", result={"x": 1}, at=(6, 7))) == ["unsound"]


def test_an_iteration_is_no_snapshot() -> None:
    # x is read before it is put, y after: no moment had both like that.
    puts = [op("a", "put", 1, key="x", at=(1, 2)), op("a", "put", 2, key="y", at=(3, 4))]
    assert anomalies(*puts, op("b", "iterate", result={"y": 2}, at=(0, 5))) == []
    assert anomalies(*puts, op("b", "iterate", result={"y": 2}, at=(2.5, 5))) == ["unsound"]


def test_what_had_no_answer_may_have_happened() -> None:
    silent = op("c", "delete", key="x", at=(1, 1), outcome="info")
    assert anomalies(PUT, silent, op("b", "get", key="x", result=1, at=(2, 3))) == []
    assert anomalies(PUT, silent, op("b", "iterate", result={}, at=(2, 3))) == []
    lost = op("b", "iterate", at=(2, 2), outcome="info")
    assert anomalies(PUT, lost, op("d", "get", key="x", result=1, at=(3, 4))) == []


def test_the_real_operations_are_shown() -> None:
    (found,) = SharedMap().check(history(PUT, op("b", "iterate", result={}, at=(2, 3)))).violations
    assert [op.kind for op in found.operations] == ["put", "iterate"]


def test_nothing_read_or_put_is_no_pass() -> None:
    assert "nothing was read" in SharedMap().check(history(PUT)).inconclusive
    assert "nothing was put" in SharedMap().check(history(op("b", "get", key="x", at=(2, 3)))).inconclusive
