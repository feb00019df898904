"""Replies that break the protocol, end too early or never: a value or a named failure, each within its
time-out, and never the reply to another request. What FastHttpUser does is told in docs/lean-http-user.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.awkward_replies import CASES, Awkward

PAGE = Path(__file__).parents[2] / "docs" / "lean-http-user.md"
HUNG = "no end"
BY_CHANCE = ("408 while idle", "a second reply, later")
"""What FastHttpUser makes of them depends on what it happens to receive at once."""
Outcomes = dict[str, tuple[str, str, bool]]


def outcomes(client: str) -> Outcomes:
    """Of `lean` or `fast`: what came of the case, of the next request, and whether on the same connection."""
    command = [sys.executable, "-m", "tests.integration.lean_replies", client]
    done = subprocess.run(command, cwd=PAGE.parents[1], stdout=subprocess.PIPE, check=True, timeout=300)
    found: Outcomes = json.loads(done.stdout)
    return found


BY_CHANCE = ("408 while idle",)
"""What FastHttpUser makes of it hangs on whether it comes before the next request."""


@pytest.fixture(scope="module")
def lean() -> Outcomes:
    return outcomes("lean")


@pytest.fixture(scope="module")
def fast() -> Outcomes:
    return outcomes("fast")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reply(case: Awkward, lean: Outcomes) -> None:
    first, second, again = lean[case.name]
    assert first == case.expect
    assert second == "200 second"
    assert again == case.again


def test_the_differences_are_listed(lean: Outcomes, fast: Outcomes) -> None:
    assert table(lean, fast) in PAGE.read_text(encoding="utf-8")


def table(lean: Outcomes, fast: Outcomes) -> str:
    """Where the two do not agree whether the request failed, or what its body is."""
    lines = ["| the server sends | LeanHttpUser | FastHttpUser |", "|---|---|---|"]
    for case in CASES:
        if case.name in BY_CHANCE:
            continue
        ours, theirs = (_shown(each[case.name][0]) for each in (lean, fast))
        if ours != theirs and case.name not in BY_CHANCE:
            lines.append(f"| {case.name} | {ours} | {theirs} |")
    return "\n".join(lines)


def _shown(outcome: str) -> str:
    if outcome.startswith("raised "):
        return "raises in the task"
    if outcome[0].isdigit():
        status, _, body = outcome.partition(" ")
        return f"{status} `{body}`" if body and body.isprintable() and len(body) < 20 else f"{status}"
    return outcome if outcome == HUNG else "failure"
