"""`report.html`: one page, one file, no network; drawn here as SVG, with a little JavaScript to read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from chaos_locust.events import Recording
from chaos_locust.judge.verdict import Outcome, Verdict
from chaos_locust.plan.model import Plan
from chaos_locust.redact import redact
from chaos_locust.reports import text
from chaos_locust.reports.cards import cards
from chaos_locust.reports.columns import Column, columns_of
from chaos_locust.reports.corrected import corrected_of
from chaos_locust.reports.findings import failures_first, tally, trust_line
from chaos_locust.reports.page import asset, f1, script_hash, templates
from chaos_locust.reports.picture import picture_of
from chaos_locust.reports.podlane import pod_tables
from chaos_locust.reports.tables import error_rows, not_measured, objective_rows, request_groups
from chaos_locust.reports.verdict_json import to_json, verdict_to_json

_OPEN_ROWS = 6  # objectives shown before the picture; the rest unfolds, so that the picture stays in sight
_MOST_FINDINGS = 300
_MOST_PLAN = 60_000  # characters of the plan as run that are shown
_MOST_EMBEDDED = 250_000  # characters of the verdict as JSON that are embedded
_SIGNS = {Outcome.UPHELD: "✓", Outcome.DEVIATED: "✕", Outcome.INCONCLUSIVE: "?"}


def render(verdict: Verdict, recording: Recording) -> str:
    """The page. Well below 1 MB whatever the length of the run: what is cut is said on it."""
    plan = Plan.from_json(recording.header.plan)
    columns = columns_of(recording)
    rows = objective_rows(verdict)
    groups, rows_left_out = request_groups(verdict)
    script = asset("chaos_locust.reports", "report.js")
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            verdict=verdict,
            header=recording.header,
            host=text.plain(plan.host or ""),
            sign=_SIGNS[verdict.outcome],
            sentence=text.without_word(text.plain(verdict.sentence), verdict.outcome),
            trust=trust_line(verdict),
            trust_reasons=[text.plain(reason) for reason in verdict.trust.reasons],
            tally=tally(verdict.findings),
            rows=rows[:_OPEN_ROWS],
            more_rows=rows[_OPEN_ROWS:_MOST_FINDINGS],
            rows_cut=max(0, len(rows) - _MOST_FINDINGS),
            more_tally=tally(failures_first(verdict.findings)[_OPEN_ROWS:]),
            picture=picture_of(plan, verdict, recording, columns),
            groups=groups,
            rows_left_out=rows_left_out,
            corrected=corrected_of(verdict, recording) if verdict.workload == "closed" else None,
            cards=cards(plan, verdict, columns),
            errors=error_rows(verdict, recording),
            pods=pod_tables(recording),
            unmeasured=not_measured(verdict, recording),
            plan_text=_plan_text(recording),
            style=Markup(asset("chaos_locust.reports", "report.css")),
            script=Markup(script),
            script_hash=script_hash(script),
            points=_script_json(_points(columns)),
            embedded=_embedded(verdict, recording),
        )
    )


def _templates() -> Environment:
    environment = templates(
        "chaos_locust.reports",
        text.plain, text.duration, text.moment, text.share, text.count,
        text.rate, text.exit_text, text.when, text.span, text.interval, f1,
    )  # fmt: skip
    environment.filters["percent"] = lambda value: f"{value * 100:.2f}%"
    return environment


def _plan_text(recording: Recording) -> str:
    shown = json.dumps(redact(recording.header.plan), indent=2, ensure_ascii=False)
    if len(shown) > _MOST_PLAN:
        return shown[:_MOST_PLAN] + "\n... cut here; the journal has all of it"
    return shown


def _points(columns: Sequence[Column]) -> list[list[Any]]:
    """What the cross-hair shows, by column: start, width, offered, completed, never sent, p50, p95, p99,
    service p99 (ms, -1: no answer), errors by kind."""

    def ms(value: float | None) -> float | None:
        return None if value is None else -1 if value == float("inf") else round(value * 1000, 3)

    points = []
    for column in columns:
        most = sorted((column.errors or {}).items(), key=lambda item: -item[1])[:4]
        errors = [(text.shorten(text.plain(kind), 40), number) for kind, number in most]
        if column.unanswered:
            errors.append(("unanswered", column.unanswered))
        latencies = [ms(v) for v in (column.p50_s, column.p95_s, column.p99_s, column.service_p99_s)]
        rates = [column.offered, column.completed, column.never]
        points.append([column.starts_s, column.width_s, *rates, *latencies, errors])
    return points


def _embedded(verdict: Verdict, recording: Recording) -> Markup:
    """The verdict as JSON; the long lists of a huge one are left to verdict.json."""
    data = verdict_to_json(verdict, recording)
    for name in ("table", "findings"):
        if len(json.dumps(data)) > _MOST_EMBEDDED:
            data = {**data, name: [], f"{name}_left_out": len(data[name])}
    return _script_json(data)


def _script_json(data: Any) -> Markup:
    """JSON that may stand in a script element: nothing in it can end the element."""
    encoded = json.dumps(to_json(data), separators=(",", ":"), allow_nan=False)
    return Markup(encoded.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
