"""`verdict.json`: the whole verdict for machines. Its JSON Schema is `verdict.schema.json` beside this file.

JSON knows no infinity: an infinite value (a percentile with too many failures, a recovery that never came)
is the string "Infinity". What is unknown is null, never 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from typing import Any, cast

from chaos_locust.events import Recording
from chaos_locust.judge.verdict import Verdict
from chaos_locust.redact import redact_text


def verdict_to_json(verdict: Verdict, recording: Recording) -> dict[str, Any]:
    """The verdict as JSON data, with the command and the versions of the run it judges."""
    header = recording.header
    run = {"command": header.command, "versions": header.versions, "complete": recording.complete}
    return cast(dict[str, Any], to_json(asdict(verdict) | run))


def render(verdict: Verdict, recording: Recording) -> str:
    return json.dumps(verdict_to_json(verdict, recording), indent=2, allow_nan=False) + "\n"


def verdict_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `verdict.json`."""
    text = (files("chaos_locust.reports") / "verdict.schema.json").read_text(encoding="utf-8")
    return cast(dict[str, Any], json.loads(text))


def to_json(data: Any) -> Any:
    """JSON data without infinities and without secrets in its texts."""
    if isinstance(data, float) and not math.isfinite(data):
        if math.isnan(data):
            return None
        return "Infinity" if data > 0 else "-Infinity"
    if isinstance(data, str):
        return redact_text(data)
    if isinstance(data, Mapping):
        return {redact_text(str(key)): to_json(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [to_json(value) for value in data]
    return data
