"""Histories to Jepsen's form and back."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from invariants.checkers.linearizable import Linearizable
from invariants.checkers.list_append import ListAppend
from invariants.edn import InvalidEdn, Keyword, read_edn
from invariants.history import History, InvalidHistory, Operation
from invariants.jepsen import read_jepsen, to_jepsen, write_jepsen

from .histories import history, operation

# As a Jepsen test writes it: processes as numbers, a nemesis, an operation that never came back.
JEPSEN = """
{:type :invoke, :f :write, :value 3, :process 0, :time 1000, :index 0}
{:type :info, :f :start-partition, :value nil, :process :nemesis, :time 1500, :index 1}
#jepsen.history.Op{:index 2, :time 2000, :type :invoke, :process 1, :f :read, :value nil}
{:type :ok, :f :write, :value 3, :process 0, :time 3000, :index 3}
{:type :ok, :f :read, :value 4, :process 1, :time 4000, :index 4}  ; nobody wrote 4
{:type :invoke, :f :cas, :value [3 5], :process 0, :time 5000, :index 5}
{:type :fail, :f :cas, :value [3 5], :process 0, :time 6000, :error :changed, :index 6}
{:type :invoke, :f :write, :value 9, :process 2, :time 7000, :index 7}
"""


def test_each_operation_is_an_invocation_and_what_came_back() -> None:
    given = history(
        operation("a", "write", 1, at=(10, 10.5)),
        operation("b", "read", None, 1, at=(10.25, 11)),
        operation("a", "write", 2, at=(12, 13), outcome="fail", error="no room"),
    )
    assert list(to_jepsen(given)) == [
        "{:index 0, :type :invoke, :process 0, :f :write, :value 1, :time 0}",
        "{:index 1, :type :invoke, :process 1, :f :read, :value nil, :time 250000000}",
        "{:index 2, :type :ok, :process 0, :f :write, :value 1, :time 500000000}",
        "{:index 3, :type :ok, :process 1, :f :read, :value 1, :time 1000000000}",
        "{:index 4, :type :invoke, :process 0, :f :write, :value 2, :time 2000000000}",
        '{:index 5, :type :fail, :process 0, :f :write, :value 2, :time 3000000000, :error "no room"}',
    ]


def test_what_had_no_answer_is_open_to_the_end() -> None:
    given = history(
        operation("a", "write", 1, at=(0, 0), outcome="info", error="timeout"),
        operation("b", "read", None, 1, at=(5, 6)),
    )
    last = read_edn(list(to_jepsen(given))[-1])[0]
    assert (last["type"], last["process"], last["time"]) == ("info", 0, 6_000_000_000)


def test_a_transaction_is_a_list_of_appends_and_reads_as_elle_wants_it() -> None:
    asked, answered = [["append", "x", 1], ["r", "x", None]], [["append", "x", 1], ["r", "x", [1]]]
    lines = list(to_jepsen(history(operation("a", "txn", asked, answered, at=(0, 1)))))
    assert ':value [[:append "x" 1] [:r "x" nil]]' in lines[0]
    assert ':value [[:append "x" 1] [:r "x" [1]]]' in lines[1]


def test_a_key_stands_as_independent_has_it(tmp_path: Path) -> None:
    given = history(operation("0", "read", None, 4, key="x", at=(0, 1)))
    write_jepsen(tmp_path / "h.edn", given)
    assert ':value ["x" 4]' in (tmp_path / "h.edn").read_text()
    (read,) = read_jepsen(tmp_path / "h.edn", keyed=True)
    assert (read.key, read.value, read.result) == ("x", None, 4)


def test_at_one_instant_processes_overlap_and_one_process_does_not() -> None:
    given = history(operation("a", "write", 1, at=(1, 1)), operation("b", "write", 2, at=(1, 1)))
    forms = [read_edn(line)[0] for line in to_jepsen(given)]
    assert [(form["process"], form["type"]) for form in forms] == [
        (0, "invoke"), (1, "invoke"), (0, "ok"), (1, "ok"),
    ]  # fmt: skip
    alone = history(
        operation("a", "write", 1, at=(1, 1)),
        operation("a", "write", 2, at=(1, 1)),
        operation("a", "write", 3, at=(1, 2)),
    )
    kinds = [read_edn(line)[0]["type"] for line in to_jepsen(alone)]
    assert kinds == ["invoke", "ok"] * 3


def test_a_history_of_jepsen_is_judged_by_our_checkers(tmp_path: Path) -> None:
    (tmp_path / "history.edn").write_text(JEPSEN)
    given = read_jepsen(tmp_path / "history.edn")
    assert [str(each) for each in given] == [
        "0: write 3 -> ok",
        "1: read -> ok 4",
        "0: cas [3, 5] -> failed",
        "2: write 9 -> no answer",
    ]
    assert given.operations[2].error == "changed"
    (violation,) = Linearizable().check(given).violations
    assert "read -> ok 4" in violation.title
    (tmp_path / "healthy.edn").write_text(JEPSEN.replace(":value 4", ":value 3"))
    assert Linearizable().check(read_jepsen(tmp_path / "healthy.edn")).passed


def test_one_vector_of_maps_is_a_history_too(tmp_path: Path) -> None:
    lines = [line for line in JEPSEN.splitlines() if line.startswith("{")]
    (tmp_path / "history.edn").write_text("[" + "\n".join(lines[:1] + lines[2:3]) + "]")
    assert len(read_jepsen(tmp_path / "history.edn")) == 1


@pytest.mark.parametrize("seed", range(20))
def test_there_and_back_nothing_changes_for_a_checker(seed: int, tmp_path: Path) -> None:
    given = _random(random.Random(seed))
    write_jepsen(tmp_path / "h.edn", given)
    back = read_jepsen(tmp_path / "h.edn")
    assert _precedence(back) == _precedence(given)
    assert Linearizable().check(back).passed == Linearizable().check(given).passed


def test_transactions_there_and_back(tmp_path: Path) -> None:
    given = history(
        operation("0", "txn", [["append", "x", 1]], [["append", "x", 1]], at=(0, 1)),
        operation("1", "txn", [["append", "x", 2]], [["append", "x", 2]], at=(2, 3), outcome="fail"),
        operation("0", "txn", [["r", "x", None]], [["r", "x", [1, 2]]], at=(4, 5)),
    )
    write_jepsen(tmp_path / "h.edn", given)
    back = ListAppend().check(read_jepsen(tmp_path / "h.edn"))
    assert [v.anomaly for v in back.violations] == [v.anomaly for v in ListAppend().check(given).violations]
    assert "G1a" in {v.anomaly for v in back.violations}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{:type :ok, :f :read, :process 0, :time 1}", "entry 1: an answer in process 0 to nothing asked"),
        ("{:type :invoke, :f :read, :process 0, :time 1}" * 2, "entry 2: two operations are open"),
        ("{:type :invoke, :process 0}", "entry 1: no operation with :type, :process, :f and :time"),
        ("{:type :invoke", "line 1: the { is never closed"),
        ("{:type}", "line 1: a map with a key without a value"),
        ("[1\n}", "line 2: } closes the [ of line 1"),
        (")", "line 1: ) closes nothing"),
        ('"open', "line 1: no EDN"),
        ("#tag", "line 1: nothing comes after #tag"),
    ],
)
def test_what_is_no_history_is_told(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "h.edn").write_text(text)
    with pytest.raises(InvalidHistory) as refused:
        read_jepsen(tmp_path / "h.edn")
    assert says in str(refused.value)


def test_a_history_that_is_not_keyed_is_not_read_as_one(tmp_path: Path) -> None:
    (tmp_path / "h.edn").write_text(JEPSEN)
    with pytest.raises(InvalidHistory, match=r"entry 4: the value is no \[key value\]"):
        read_jepsen(tmp_path / "h.edn", keyed=True)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidHistory, match="cannot be read"):
        read_jepsen(tmp_path / "none.edn")


def test_what_has_no_form_there_is_told() -> None:
    with pytest.raises(InvalidHistory, match="a object has no form"):
        list(to_jepsen(history(operation("a", "write", object(), at=(0, 1)))))


def test_edn() -> None:
    (read,) = read_edn(
        '{:a 1, "b" [-2.5 3N nil true], :c #{1} :d (x/y \\c) ; end\n :e #inst "2020" :f "a\\"b"}'
    )
    assert read == {
        "a": 1, "b": [-2.5, 3, None, True], "c": [1], "d": ["x/y", "\\c"], "e": "2020", "f": 'a"b',
    }  # fmt: skip
    assert isinstance(read_edn(":ok")[0], Keyword)
    with pytest.raises(InvalidEdn, match="line 2"):
        read_edn('1\n"\\q"')


def _random(rng: random.Random) -> History:
    made: list[Operation] = []
    for process in range(3):
        now_s = 0.0
        for _ in range(4):
            start_s = now_s + rng.choice([0, 0.001, 0.002])
            now_s = start_s + rng.choice([0, 0.001, 0.003])
            kind = rng.choice(["read", "write"])
            value, result = (None, rng.choice([None, 1, 2])) if kind == "read" else (rng.choice([1, 2]), None)
            outcome = rng.choice(["ok", "ok", "fail"])
            result = result if outcome == "ok" else None
            made.append(operation(str(process), kind, value, result, at=(start_s, now_s), outcome=outcome))
    return history(*made)


def _precedence(given: History) -> set[tuple[int, int, int, int]]:
    """Which operation was over before which other began, by processes as they come."""
    places = {process: place for place, process in enumerate(dict.fromkeys(op.process for op in given))}
    return {
        (places[a.process], a.number, places[b.process], b.number)
        for a in given
        for b in given
        if round(a.end_s * 1e9) < round(b.start_s * 1e9)
    }
