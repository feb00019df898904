"""All reports of a run, written into its folder."""

from __future__ import annotations

import os
from pathlib import Path

from chaos_locust.errors import ChaosError
from chaos_locust.events import Recording
from chaos_locust.judge.verdict import Verdict
from chaos_locust.reports import html, junit, markdown, verdict_json

RENDERERS = {
    "verdict.json": verdict_json.render,
    "junit.xml": junit.render,
    "summary.md": markdown.render,
    "report.html": html.render,
}


def write_all(folder: Path, verdict: Verdict, recording: Recording) -> list[Path]:
    """Write every report anew; each appears whole or not at all. ChaosError: the folder cannot be written."""
    written = []
    for name, render in RENDERERS.items():
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{name}.part")
            part.write_text(render(verdict, recording), encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            raise ChaosError(f"cannot write the report {path}: {error.strerror}") from error
        written.append(path)
    return written
