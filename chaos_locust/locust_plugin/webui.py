"""The tab in Locust's web UI: steps, faults and objectives of the current run as a table, and its report.

Locust's page takes further tabs and tables by `template_args`; their rows travel in the reply of
`/stats/requests`, to which they are added here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request
from locust.web import WebUI

if TYPE_CHECKING:
    from chaos_locust.locust_plugin.run import ChaosRun
    from chaos_locust.locust_plugin.session import Session

KEY = "chaos"
COLUMNS = {"what": "What", "name": "Name", "state": "State", "due": "Due", "detail": "Detail"}


class ChaosTab:
    """Adds the tab once per process; it always shows the session's current or last run."""

    def __init__(self, web_ui: WebUI, session: Session) -> None:
        assert web_ui.app is not None
        self._session = session
        prefix = web_ui.app.blueprints["locust"].url_prefix
        self._stats_path = f"{prefix or ''}/stats/requests"
        structure = [{"key": key, "title": title} for key, title in COLUMNS.items()]
        web_ui.template_args |= {
            "extended_tabs": [{"title": "Chaos", "key": KEY}],
            "extended_tables": [{"key": KEY, "structure": structure}],
        }
        web_ui.app.after_request(self._add_rows)
        blueprint = Blueprint("chaos", __name__, url_prefix=prefix)
        blueprint.add_url_rule("/chaos/report", "report", web_ui.auth_required_if_enabled(self._report))
        web_ui.app.register_blueprint(blueprint)

    def _add_rows(self, response: Response) -> Response:
        if request.path == self._stats_path and response.is_json:
            data = response.get_json()
            data["extended_stats"] = [*data.get("extended_stats", []), {"key": KEY, "data": self._rows()}]
            response.set_data(json.dumps(data))
        return response

    def _report(self) -> Response:
        """The report of the last run that has one."""
        run = self._session.run
        page = run.folder / "report.html" if run is not None else None
        if page is None or not page.exists():
            return Response(
                "There is no report yet: it is written when a run ends.", 404, mimetype="text/plain"
            )
        return Response(page.read_text(encoding="utf-8"), mimetype="text/html")

    def _rows(self) -> list[dict[str, str]]:
        run = self._session.run
        return [] if run is None else [*_step_rows(run), *_fault_rows(run), *_verdict_rows(run)]


def _row(what: str, name: str, state: str, due: str, detail: str) -> dict[str, str]:
    return dict(zip(COLUMNS, (what, name, state, due, detail), strict=True))


def _step_rows(run: ChaosRun) -> list[dict[str, str]]:
    rows = []
    unit = "/s" if run.plan.load is not None and run.plan.load.workload == "open" else " users"
    for step in run.plan.load.steps if run.plan.load is not None else ():
        state = "waiting" if run.now_s < step.starts_s else "active" if run.now_s < step.ends_s else "over"
        level = f"{step.start_level:g}{unit}"
        if step.end_level != step.start_level:
            level = f"{step.start_level:g} to {step.end_level:g}{unit}"
        rows.append(
            _row("step", step.name, state, f"{step.starts_s:g} s", f"{level} for {step.duration_s:g} s")
        )
    return rows


def _fault_rows(run: ChaosRun) -> list[dict[str, str]]:
    rows = []
    for fault in run.plan.faults:
        event, effect = run.fault_states.get(fault.name), run.effects.get(fault.name)
        due = f"{fault.at_s:g} s" if fault.at_s is not None else "when steady"
        detail = ", ".join(filter(None, (event.detail if event else "", effect.detail if effect else "")))
        state = f"{event.state} at {event.t_s:.2f} s" if event else "waiting"
        rows.append(_row(f"fault ({fault.kind} on {fault.target})", fault.name, state, due, detail))
    return rows


def _verdict_rows(run: ChaosRun) -> list[dict[str, str]]:
    if run.verdict is None:
        return []
    rows: list[dict[str, Any]] = [_row("verdict", run.run_id, run.verdict.outcome, "", run.verdict.sentence)]
    return rows + [
        _row("objective", finding.text, finding.outcome, "", finding.reason)
        for finding in run.verdict.findings
    ]
