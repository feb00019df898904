"""`chaos-locust invariants` as people type it: lists, histories that are judged, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.cli.app import run
from invariants.catalogue import names
from invariants.checkers.catalogue import CHECKERS, checker_named
from invariants.history import write_history
from invariants.state_invariant import StateInvariant
from invariants.targets.base import Target

from .histories import history, operation

# A target that answers at once; TARGETS binds three invariants, and `slow` one with options of its own.
MODULE = """
from dataclasses import dataclass
from invariants import Target
from invariants.bindings import Bound

@dataclass
class Answers(Target):
    inputs: tuple = ("a", "b")

    def connect(self, scope):
        return self

    def request(self, value):
        pass

TARGETS = {"latency_bounded": Answers(), "error_rate_limited": Bound(Answers(), {"limit": 0.5})}
UNKNOWN = {"latency_bonded": Answers()}
"""
LOST = history(
    operation("0", "enqueue", 1, at=(0, 1)),
    operation("1", "enqueue", 2, at=(0, 1)),
    operation("0", "drain", None, [2], at=(2, 3)),
)
HELD = history(operation("0", "enqueue", 1, at=(0, 1)), operation("0", "drain", None, [1], at=(2, 3)))
OPEN = history(operation("0", "enqueue", 1, at=(0, 1)))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "answering.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop("answering", None)


def invariants(*arguments: str) -> int:
    return run(["invariants", *arguments])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one message; nothing was written."""
    assert invariants(*arguments) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert not Path("results").exists()
    return " ".join(told.split())


def test_list_tells_of_each_what_holds_why_and_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert invariants("list", "--json") == 0
    listed: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in listed] == names()
    for each in listed:
        assert each["statement"]
        assert each["reason"]
        assert each["needs"]
    options = {each["name"]: each["options"] for each in listed}
    assert options["latency_bounded"] == {"limit_s": 0.1, "quantile": 0.99}


def test_list_is_for_people_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert invariants("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert invariants("list") == 0
    text = " ".join(capsys.readouterr().out.split())
    for each in listed:
        assert f"{each['name']} {' '.join(each['statement'].split())} why: " in text
        assert f"why: {' '.join(each['reason'].split())} needs: {' '.join(each['needs'].split())}" in text
    assert "options: limit_s=0.1, quantile=0.99" in text


def test_the_statement_is_what_the_check_asserts() -> None:
    """Change the limit: text and verdict both move."""

    class Slow(Target):
        inputs = ("a",)
        now_s = 0.0

        def connect(self, scope: str) -> Slow:
            return self

        def request(self, value: str) -> None:
            self.now_s += 0.05

        def clock(self) -> float:
            return self.now_s

    told = {}
    for limit_s in (0.1, 0.01):
        invariant = StateInvariant.latency_bounded(Slow(), limit_s=limit_s).with_kept_in(None)
        result = invariant.with_iterations(30).verify()
        told[result.statement] = result.outcome
    assert told == {
        "99 % of the requests are answered within 100 ms.": "UPHELD",
        "99 % of the requests are answered within 10 ms.": "DEVIATED",
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give either names of invariants, as `list` has them, or --all"),
        (("latency_bounded", "--all"), "give either names"),
        (("nobody_lies", "--target", "answering:TARGETS"), "there is no invariant 'nobody_lies'; there are "),
        (("money_is_conserved", "--target", "answering:TARGETS"), "answering:TARGETS does not bind money_is"),
        (("--all", "--target", "answering:UNKNOWN"), "there is no invariant 'latency_bonded'"),
        (("--all", "--target", "answering:Answers"), "name the invariants that it is for"),
        (("--all", "--target", "nowhere:x"), "nowhere cannot be imported"),
        (("--all", "--target", "answering:TARGETS", "--budget", "60"), "--budget: '60' is a bare number"),
        (("--all", "--target", "answering:TARGETS", "--option", "limit"), "give name=value"),
        (
            ("--all", "--target", "answering:TARGETS", "--option", "no=1"),
            "--option no is not known; there are l",
        ),
        (
            ("--all", "--target", "answering:TARGETS", "--option", "limit_s=1x"),
            "--option limit_s=1x is not all",
        ),
        (("--all", "--target", "answering:TARGETS", "--chaos-plan", "none.yaml"), "none.yaml"),
        (
            ("--all", "--target", "answering:TARGETS", "--iterations", "0"),
            "Invalid value for '--iterations'",
        ),
    ],
)
def test_a_mistake_is_one_message_and_nothing_is_started(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, "run", *arguments).replace("│ ", "")


@pytest.mark.parametrize(
    ("given", "word", "code"), [(HELD, "UPHELD", 0), (LOST, "DEVIATED", 3), (OPEN, "INCONCLUSIVE", 4)]
)
def test_a_history_is_judged(given: Any, word: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    write_history(Path("h.jsonl"), given)
    assert invariants("check", "h.jsonl", "--checker", "total-queue") == code
    assert capsys.readouterr().out.startswith(word)
    assert invariants("check", "h.jsonl", "--checker", "total-queue", "--json") == code
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["checker"], told["outcome"], bool(told["violations"])) == ("total-queue", word, code == 3)


def test_options_of_checkers_have_units_and_decide(capsys: pytest.CaptureFixture[str]) -> None:
    write_history(Path("h.jsonl"), LOST)
    slow = ("check", "h.jsonl", "--checker", "latency-bounded", "--option")
    assert invariants(*slow, "limit_s=1s") == 4  # three operations are too few
    write_history(Path("h.jsonl"), history(*(operation("0", "get", at=(n, n + 0.05)) for n in range(400))))
    assert invariants(*slow, "limit_s=100ms", "--option", "quantile=95%") == 0
    assert invariants(*slow, "limit=100ms", "--option", "quantile=95%") == 0  # as a plan has it
    assert invariants(*slow, "limit_s=0.01", "--option", "quantile=0.95") == 3
    told = capsys.readouterr().out
    assert "DEVIATED      latency-bounded" in told
    assert "400 operations, 400 bad" in told


def test_several_checkers_and_the_worst_decides() -> None:
    write_history(Path("h.jsonl"), LOST)
    both = ("--checker", "error-rate-limited", "--checker", "total-queue", "--option", "limit=1%")
    assert invariants("check", "h.jsonl", *both) == 3


def test_a_history_goes_to_jepsen_and_comes_back() -> None:
    write_history(Path("h.jsonl"), LOST)
    assert invariants("check", "h.jsonl", "--checker", "total-queue", "--jepsen", "history.edn") == 3
    assert invariants("check", "history.edn", "--checker", "total-queue") == 3


HOLE = '{"process": "0", "number": 1, "kind": "read", "outcome": "ok", "start_s": 0, "end_s": 1}'
TWICE = [
    {"process": "0", "number": n, "kind": "read", "outcome": "ok", "start_s": n, "end_s": n + 5}
    for n in (0, 1)
]


@pytest.mark.parametrize(
    ("text", "arguments", "says"),
    [
        (HOLE, ("linearizable",), "process 0 has a hole: operation 0 is missing before 1"),
        ("\n".join(map(json.dumps, TWICE)), ("linearizable",), "two operations are open in one process"),
        ("no json", ("linearizable",), "h.jsonl, line 1: "),
        ("", ("linearizable",), "h.jsonl has no operations"),
        (HOLE, ("linearisable",), "no checker 'linearisable'; did you mean linearizable?"),
        (HOLE, ("bank",), "bank needs --option total=..."),
        (
            json.dumps(TWICE[0] | {"kind": "enqueue"}),
            ("linearizable",),
            "linearizable cannot judge this history",
        ),
    ],
)
def test_what_cannot_be_judged_is_told(
    text: str, arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("h.jsonl").write_text(text)
    assert says in refused(capsys, "check", "h.jsonl", *(x for a in arguments for x in ("--checker", a)))


def test_a_checker_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    write_history(Path("h.jsonl"), LOST)
    assert "--checker admission, answered, bank" in refused(capsys, "check", "h.jsonl")
    assert "none.jsonl cannot be read" in refused(capsys, "check", "none.jsonl", "--checker", "set-full")


def test_every_checker_goes_by_its_name() -> None:
    for name in CHECKERS:
        assert checker_named(name).__doc__
    made = {name: checker_named(name) for name in CHECKERS}
    needed = {"bank": {"total": 1}, "circuit-breaker": {"timeout_s": 1}, "latency-bounded": {"limit_s": 1}}
    needed |= {"error-rate-limited": {"limit": 1}, "ends-in-time": {"limit_s": 1}}
    assert [made[name](**needed.get(name, {})).name for name in made] == list(CHECKERS)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("no json", "v.json is no JSON"),
        ("[]", "is no violation of a run, which has invariant, target and steps"),
        ('{"invariant": "latency_bounded", "target": "answering:TARGETS", "steps": []}', "has no steps"),
        (
            '{"invariant": "latency_bounded", "target": "redis://:***@h",'
            ' "steps": [{"number": 0, "rule": "request"}]}',
            "names redis://:***@h, without its password; give --target",
        ),
    ],
)
def test_what_cannot_be_replayed_is_told(data: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("v.json").write_text(data)
    assert says in refused(capsys, "replay", "v.json")
    assert "none.json cannot be read" in refused(capsys, "replay", "none.json")
