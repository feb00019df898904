"""`report.html`: one page, one file, no network, in the look of a run's report."""

from __future__ import annotations

import json

from jinja2 import Environment
from markupsafe import Markup

from chaos_locust.reports import text
from chaos_locust.reports.page import asset, script_hash, templates
from compliance.checks import SEVERITIES
from compliance.outputs.report import Report
from compliance.outputs.words import (
    NO_CERTIFICATE,
    STATE_WORDS,
    WHY_NOT,
    automated_methods,
    counts_of,
    exit_of,
    findings_of,
    not_assessed_of,
    percentages_of,
    reason_of,
    sentence_of,
    severity_of,
    word_of,
)

_SIGNS = {"VIOLATIONS": "✕", "NO VIOLATIONS": "✓", "NOT FULLY ASSESSED": "?"}
_TONES = {"VIOLATIONS": "deviated", "NO VIOLATIONS": "upheld", "NOT FULLY ASSESSED": "inconclusive"}


def render(report: Report) -> str:
    """The page. Everything of the target is escaped, and without secrets."""
    result = report.result
    word = word_of(result)
    script = asset("compliance.outputs", "audit.js")
    return (
        _templates()
        .get_template("audit.html.j2")
        .render(
            report=report,
            result=result,
            word=word,
            sign=_SIGNS[word],
            tone=_TONES[word],
            sentence=sentence_of(result),
            percentages=percentages_of(result),
            counts=counts_of(result),
            state_words=STATE_WORDS,
            severities=tuple(reversed(SEVERITIES)),
            states={judged.control.id: judged.state for judged in result.controls},
            group_of={judged.control.id: judged.control.group for judged in result.controls},
            groups=result.groups(),
            findings=findings_of(result),
            not_assessed=not_assessed_of(result),
            why_not=WHY_NOT,
            reason_of=reason_of,
            severity_of=severity_of,
            methods=automated_methods,
            names={each.sha256: name for name, each in result.measurements.items()},
            decided=[(judged, each) for judged in result.controls for each in judged.decisions],
            exit=exit_of(report),
            statement=NO_CERTIFICATE,
            style=Markup(asset("chaos_locust.reports", "report.css")),
            own_style=Markup(asset("compliance.outputs", "audit.css")),
            script=Markup(script),
            script_hash=script_hash(script),
        )
    )


def _lines(value: str) -> str:
    """Text of several lines, each of them plain."""
    return "\n".join(map(text.plain, value.splitlines()))


def _templates() -> Environment:
    environment = templates("compliance.outputs", text.plain)
    environment.filters["lines"] = _lines
    environment.filters["as_json"] = json.dumps  # ASCII, and so without control characters
    return environment
