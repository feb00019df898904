"""Writes the files of an audit into its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chaos_locust.errors import ChaosError
from compliance.history import DOCUMENT
from compliance.outputs import html, junit
from compliance.outputs.document import signed_off
from compliance.outputs.oscal import report_to_oscal
from compliance.outputs.report import TRAIL, Report
from compliance.outputs.sarif import report_to_sarif


def write_all(folder: Path, report: Report) -> tuple[Report, dict[str, Any]]:
    """`audit.json`, `junit.xml`, `audit.sarif`, `oscal.json`, `report.html`, and an entry in the trail beside
    the folder. Returns the report and its document as they were written. Raises ChaosError."""
    report, document = signed_off(report, folder.parent / TRAIL)
    texts = {
        DOCUMENT: _json(document),
        "junit.xml": junit.render(report),
        "audit.sarif": _json(report_to_sarif(report)),
        "oscal.json": _json(report_to_oscal(report)),
        "report.html": html.render(report),
    }
    try:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ChaosError(f"the report in {folder} cannot be written: {error.strerror}") from error
    return report, document


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
