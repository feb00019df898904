"""`docs/requirements.md` names only tests that are there, and no row twice."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
IDS = re.findall(
    r"\b[A-Z]{2,4}-\d{3}\b",
    "\n".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| ")),
)


def test_the_page_has_rows() -> None:
    assert len(NAMED) >= 5
    assert len(IDS) >= 40


def test_no_row_is_there_twice() -> None:
    assert sorted(IDS) == sorted(set(IDS))


def test_every_row_that_holds_names_a_test() -> None:
    sections = [section for section in PAGE.split("\n## ") if re.match(r".* that holds?\n", section)]
    assert len(sections) == 4
    for section in sections:
        rows = [line for line in section.splitlines() if re.match(r"\| [A-Z]{2,4}-\d", line)]
        assert rows
        assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_test_that_is_named_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert name in functions
