"""A history that comes back from its file as it was, and the ones that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from invariants.history import History, InvalidHistory, Operation, read_history, write_history

from .histories import history, operation

GOOD = history(
    operation("a", "write", 1, key="x", at=(0.0, 1.0)),
    operation("b", "read", result=1, key="x", at=(0.5, 1.5)),
    operation("a", "write", 2, key="x", at=(2.0, 9.0), outcome="info", error="time-out"),
    operation("c", "write", 3, at=(3.0, 4.0), outcome="fail", error="503"),
)


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    write_history(tmp_path / "h.jsonl", GOOD)
    assert read_history(tmp_path / "h.jsonl") == GOOD


def without(number: int) -> tuple[Operation, ...]:
    return tuple(op for place, op in enumerate(GOOD) if place != number)


def test_a_hole_is_named() -> None:
    with pytest.raises(InvalidHistory, match="process a has a hole: operation 0 is missing"):
        History(without(0))


def test_two_open_operations_of_one_process_are_named() -> None:
    with pytest.raises(InvalidHistory, match="two operations are open in one process: a: write 1"):
        history(operation("a", "write", 1, at=(0, 2)), operation("a", "write", 2, at=(1, 3)))


def test_a_process_is_over_when_it_has_no_answer() -> None:
    with pytest.raises(InvalidHistory, match="goes on after an operation without an answer"):
        history(operation("a", "write", 1, at=(0, 2), outcome="info"), operation("a", "read", at=(3, 4)))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2"),
        (json.dumps({"process": "a"}), "line 2: no operation: KeyError: 'outcome'"),
        (
            json.dumps({"process": "a", "outcome": "done"}),
            "outcome 'done' is not allowed; give ok, fail, info",
        ),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text(json.dumps(GOOD.operations[0].to_json()) + "\n" + line + "\n")
    with pytest.raises(InvalidHistory, match=told):
        read_history(path)
