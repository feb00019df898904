"""Writes the files of a run into its folder."""

from __future__ import annotations

import json
from pathlib import Path

from chaos_locust.errors import ChaosError
from chaos_locust.redact import redact
from invariants.history import Operation, write_history
from invariants.reports import html, junit
from invariants.reports.json import suite_to_json, violation_to_json
from invariants.reports.words import file_names
from invariants.suite import Case, Suite


def write_all(folder: Path, suite: Suite) -> None:
    """`result.json`, `junit.xml`, `report.html`; for each violation `<name>.violation.json`, its history as
    JSON lines, and `test_<name>.py`. Raises ChaosError."""
    try:
        (folder / "result.json").write_text(_json(suite_to_json(suite)), encoding="utf-8")
        (folder / "junit.xml").write_text(junit.render(suite), encoding="utf-8")
        for case in suite.cases:
            _write_violations(folder, case)
        (folder / "report.html").write_text(html.render(suite), encoding="utf-8")
    except OSError as error:
        raise ChaosError(f"the report in {folder} cannot be written: {error.strerror}") from error


def _write_violations(folder: Path, case: Case) -> None:
    if case.ended is None or case.ended.result is None:
        return
    for found, name in zip(case.ended.result.violations, file_names(case), strict=True):
        data = violation_to_json(case, found)
        (folder / f"{name}.violation.json").write_text(_json(data), encoding="utf-8")
        operations = [Operation.from_json(redact(each.to_json())) for each in found.history]
        write_history(folder / f"{name}.history.jsonl", operations)
    for test, name in zip(case.ended.tests, file_names(case), strict=False):
        (folder / f"test_{name}.py").write_text(test, encoding="utf-8")


def _json(data: object) -> str:
    return json.dumps(data, indent=2, default=str) + "\n"
