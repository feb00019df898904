"""Locks, conditional updates and single flights under the load that the documentation writes down: a correct
server upholds all three, and each defect of it is found by its own checker alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import blocks_of

from .locust_processes import Locust, finding
from .servers.documents import DEFECTS, DocumentsServer

PAGE = Path(__file__).parents[2] / "docs" / "invariants.md"
CHECKS = {"opens": "exclusion", "overwrites": "conditional-updates", "stampedes": "single-flight (lasts 5s)"}


def locustfile(folder: Path) -> Path:
    (text,) = [block.text for block in blocks_of(PAGE) if block.text.startswith("# file: documents.py")]
    path = folder / "documents.py"
    path.write_text(text)
    return path


def plan(host: str) -> dict[str, Any]:
    return {
        "name": "nobody's work is overwritten",
        "host": host,
        "load": [{"step": "base", "rate": "120/s", "for": "4s"}],
        "warm_up": "1s",
        "baseline": "1s",
        "timeout": "1s",
        "invariants": ["exclusion", "conditional-updates", {"check": "single-flight", "lasts": "5s"}],
    }


@pytest.mark.parametrize("defect", ["", *DEFECTS])
def test_each_defect_is_found_by_its_own_checker_alone(tmp_path: Path, defect: str) -> None:
    file = locustfile(tmp_path)
    with DocumentsServer(defect) as server, Locust(tmp_path, plan(server.url), file, [file] * 2) as run:
        code, verdict = run.wait(), run.verdict()
    outcomes = {name: finding(verdict, name)["outcome"] for name in CHECKS.values()}
    wanted = dict.fromkeys(CHECKS.values(), "UPHELD") | ({CHECKS[defect]: "DEVIATED"} if defect else {})
    assert outcomes == wanted, [finding(verdict, name)["reason"] for name in CHECKS.values()]
    assert code == (3 if defect else 0), verdict["sentence"]
