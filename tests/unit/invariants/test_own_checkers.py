"""Checkers of somebody's own, named `module:Class` in a plan and on the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.cli.app import run
from chaos_locust.companions import companion_findings, companion_problems
from chaos_locust.events import LoadStopped, Recording, RunEnded, RunStarted
from chaos_locust.judge.verdict import Finding, Outcome
from chaos_locust.plan.model import Plan
from invariants.history import write_history
from invariants.load_checkers import made

from .histories import history, operation

MODULE = '''
from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation


@dataclass(frozen=True)
class SoldAtMost:
    """No more is sold than there was. A pure function of the history."""

    limit: int
    pause_s: float = 0.5
    name = "sold-at-most"

    def __post_init__(self):
        if self.limit < 0:
            raise ValueError(f"limit {self.limit} is not allowed; give 0 or more")

    def check(self, history):
        sold = tuple(each for each in history.of("sell") if each.happened)
        title = f"{len(sold)} were sold, of {self.limit}"
        violations = (Violation(self.name, title, sold),) if len(sold) > self.limit else ()
        return Checked(violations, "" if sold else "nothing was sold", {"sold": len(sold)})


class Plain:
    name = "plain"

    def check(self, history):
        return Checked()


class Wrong(Plain):
    def check(self, history):
        return ["sold too often"]


class WrongToo(Plain):
    def check(self, history):
        return Checked(("sold too often",))


class Strict(Plain):
    def __init__(self, limit):
        self.limit = limit


class Nameless:
    def check(self, history):
        return Checked()


READY = Plain()
'''
SOLD = [operation("a.0", "sell", key="shelf", at=(at_s, at_s + 1)) for at_s in (10, 20, 30)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "own_stock.py").write_text(MODULE)
    (tmp_path / "own_broken.py").write_text("def check(:\n")
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("own_stock", None)


def plan(*invariants: Any) -> Plan:
    load = [{"step": "base", "rate": "50/s", "for": "60s"}]
    return Plan(name="a plan", host="http://127.0.0.1:1", invariants=invariants, load=load, warm_up="4s")


def judged(folder: Path, *invariants: Any) -> list[Finding]:
    given = plan(*invariants)
    write_history(folder / "history.jsonl", history(*SOLD))
    header = RunStarted(0.0, "run", 0.0, given.to_json(), 1, "", {}, 1)
    events = (header, LoadStopped(60.0, 60.0), RunEnded(60.0, "finished"))
    return list(companion_findings(given, Recording(header, events, {}, True, folder)))


def test_it_judges_a_load_run_as_ours_do(tmp_path: Path) -> None:
    many, enough, elsewhere = judged(
        tmp_path,
        {"check": "own_stock:SoldAtMost", "limit": 2},
        {"check": "own_stock:SoldAtMost", "limit": 3, "pause": "2s"},
        {"check": "own_stock:SoldAtMost", "limit": 2, "keys": "cellar"},
    )
    assert (many.outcome, many.text) == (Outcome.DEVIATED, "own_stock:SoldAtMost (limit 2)")
    assert "3 were sold, of 2 [a.0: sell shelf -> ok at 10.000 s;" in many.reason
    assert many.stretch == (10, 31)
    assert (enough.outcome, enough.samples) == (Outcome.UPHELD, 3)
    assert "3 sold" in enough.reason
    assert elsewhere.outcome is Outcome.INCONCLUSIVE


def test_options_are_its_fields_with_units_as_everywhere() -> None:
    checker: Any = made("own_stock:SoldAtMost", {"limit": 7, "pause": "1500ms"})
    assert (checker.limit, checker.pause_s) == (7, 1.5)


REFUSED = {
    "own_stok:SoldAtMost": "there is no checker 'own_stok:SoldAtMost': own_stok cannot be imported",
    "own_stock:SoldAtMots": "there is no checker 'own_stock:SoldAtMots': there is no SoldAtMots in own_stock",
    "own_broken:Any": "own_broken cannot be imported: SyntaxError",
    ":SoldAtMost": "give module:attribute",
    "own_stock:": "give module:attribute",
    "own_stock:Nameless": "which is a class with name and check(history); it has no name",
    "own_stock:READY": "which is a class with name and check(history); it is a Plain",
    "own_stock:Strict": "own_stock:Strict cannot be made",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_checker_is_told_before_the_run_and_leaves_a_finished_one_open(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (problem,) = companion_problems(plan(name))
    assert str(problem).startswith("invariants[0]: ")
    assert REFUSED[name] in str(problem)
    (found,) = judged(tmp_path, name)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert REFUSED[name] in found.reason
    assert run(["invariants", "check", "history.jsonl", "--checker", name]) == 2
    assert REFUSED[name] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "invariants[0].limit: is missing"),
        ({"limit": "two"}, "invariants[0].limit: 'two' is not allowed; give a whole number"),
        ({"limit": -1}, "invariants[0]: own_stock:SoldAtMost cannot be made: limit -1 is not allowed"),
        ({"limit": 1, "pause": 2}, "invariants[0].pause: '2' is a bare number"),
        ({"limit": 1, "piece": 2}, "invariants[0]: own_stock:SoldAtMost has no option 'piece'"),
    ],
)
def test_its_options_are_checked_as_ours_are(options: dict[str, Any], told: str) -> None:
    (problem,) = companion_problems(plan({"check": "own_stock:SoldAtMost", **options}))
    assert str(problem).startswith(told)


@pytest.mark.parametrize("name", ["Wrong", "WrongToo"])
def test_what_is_no_answer_of_a_checker_leaves_it_open(tmp_path: Path, name: str) -> None:
    (found,) = judged(tmp_path, f"own_stock:{name}")
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "TypeError" in found.reason
    assert run(["invariants", "check", "history.jsonl", "--checker", f"own_stock:{name}"]) == 2


def test_it_judges_a_history_on_the_command_line(tmp_path: Path) -> None:
    write_history(tmp_path / "history.jsonl", history(*SOLD))
    command = ["invariants", "check", "history.jsonl", "--checker", "own_stock:SoldAtMost", "--option"]
    assert run([*command, "limit=2"]) == 3
    assert run([*command, "limit=3"]) == 0
    assert run(["invariants", "check", "history.jsonl", "--checker", "own_stock:Plain"]) == 0
