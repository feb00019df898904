"""`chaos-locust check` of a plan with `invariants:`: what will be judged, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos_locust.cli.app import run
from invariants.load_checkers import CHECKERS, made, shown_options

NEEDED: dict[str, dict[str, Any]] = {
    "bank": {"total": 100},
    "circuit-breaker": {"timeout": "3s"},
    "error-rate-limited": {"limit": "1%"},
    "latency-bounded": {"limit": "100ms"},
}


def check(folder: Path, *invariants: Any) -> int:
    plan = {
        "name": "a plan",
        "host": "http://127.0.0.1:1",
        "load": [{"step": "base", "rate": "50/s", "for": "60s"}],
        "invariants": invariants,
    }
    (folder / "plan.yaml").write_text(json.dumps(plan))
    return run(["check", "--offline", str(folder / "plan.yaml")])


def table(text: str) -> str:
    """That of the invariants, its cells joined again that were broken to fit."""
    return " ".join(text[text.index("\ninvariant ") :].split())


def test_each_is_listed_with_what_must_hold_and_the_options_that_will_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = {"check": "set-full", "stale": "1500ms", "keys": "user-*", "severity": "warn"}
    assert check(tmp_path, "total-queue", late, {"check": "latency-bounded", "limit": "0.1s"}) == 0
    told = table(capsys.readouterr().out)
    assert "invariant must hold looks at options total-queue each accepted message" in told
    assert "dequeue, at_least_once false" in told.replace(" drain", "")
    assert "add, read on user-* stale 1.5s, severity warn" in told
    assert "limit 100ms, quantile 99%" in told
    assert "kinds all" in told


@pytest.mark.parametrize("name", CHECKERS)
def test_the_options_that_are_listed_can_be_written_in_a_plan(name: str) -> None:
    checker = made(name, NEEDED.get(name, {}))
    shown = shown_options(name, checker)
    assert set(NEEDED.get(name, {})) <= set(shown)
    typed = {key: yaml.safe_load(text) for key, text in shown.items() if text not in ("all", "none")}
    assert made(name, typed) == checker
    assert CHECKERS[name].statement


def test_a_plan_without_any_has_no_such_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path) == 0
    assert "must hold" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("invariant", "told"),
    [
        ("linearisable", ("invariants[1]: 'linearisable'", "did you mean linearizable?", "module:Class")),
        ({"check": "set-full", "stall": "2s"}, ("invariants[1]: set-full has no option 'stall'", "stale")),
        ({"check": "set-full", "stale": "2kg"}, ("invariants[1].stale: '2kg'", "us, ms, s, min, h")),
        ({"check": "set-full", "stale": 2}, ("invariants[1].stale: '2' is a bare number", "2s")),
        ({"check": "latency-bounded", "limit": "5%"}, ("invariants[1].limit: '5%' is no duration", "ms")),
        ({"check": "error-rate-limited", "limit": "1s"}, ("invariants[1].limit: '1s' is no share", "5%")),
        ({"check": "bank"}, ("invariants[1].total: is missing",)),
        ({"check": "nothing:There"}, ("invariants[1]: there is no checker 'nothing:There'", "imported")),
    ],
)
def test_a_mistake_is_told_in_one_line_and_the_others_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], invariant: Any, told: tuple[str, ...]
) -> None:
    assert check(tmp_path, "session-guarantees", invariant) == 2
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    for words in told:
        assert words in line
    assert "session-guarantees each session reads its own writes" in table(output.out)
