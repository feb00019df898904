"""The tab in Locust's web UI: steps, faults and verdict of the current run as a table, and its report.

Locust's page takes further tabs and tables by `template_args`; their rows travel in the reply of
`/stats/requests`, to which they are added here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from flask.json import jsonify
from locust.runners import STATE_CLEANUP, STATE_INIT, STATE_SPAWNING, STATE_STOPPED, STATE_STOPPING
from locust.web import WebUI

from chaos_locust.judge.verdict import Verdict
from chaos_locust.reports.findings import failures_first, title, word
from chaos_locust.reports.text import without_word

if TYPE_CHECKING:
    from chaos_locust.faults.base import Fault
    from chaos_locust.locust_plugin.run import ChaosRun
    from chaos_locust.locust_plugin.session import Session
    from chaos_locust.plan.load import Step

KEY = "chaos"
COLUMNS = {"what": "What", "subject": "Name", "state": "State", "due": "Due", "detail": "Detail"}
ORDER = "name"
"""The page sorts rows by this key, of which it shows no column here."""

Row = tuple[str, str, str, str, str]


class ChaosTab:
    """Adds the tab once per process; it always shows the session's current or last run."""

    def __init__(self, web_ui: WebUI, session: Session) -> None:
        assert web_ui.app is not None
        self._session = session
        prefix = web_ui.app.blueprints["locust"].url_prefix or ""
        self._stats_path, self._start_path = f"{prefix}/stats/requests", f"{prefix}/swarm"
        self._report_path = f"{prefix}/chaos/report"
        structure = [{"key": key, "title": title} for key, title in COLUMNS.items()]
        report = {"title": "Report of the last chaos-locust run", "href": "./chaos/report"}
        for name, more in (
            ("extended_tabs", {"title": "Chaos", "key": KEY}),
            ("extended_tables", {"key": KEY, "structure": structure}),
            ("extended_csv_files", report),
        ):
            web_ui.template_args[name] = [*web_ui.template_args.get(name, []), more]
        web_ui.app.before_request(self._keep_host)
        web_ui.app.after_request(self._add_rows)
        blueprint = Blueprint("chaos", __name__, url_prefix=prefix)
        blueprint.add_url_rule("/chaos/report", "report", web_ui.auth_required_if_enabled(self._report))
        web_ui.app.register_blueprint(blueprint)

    def _keep_host(self) -> Response | None:
        """The form has a field for the host; what was checked and is written down is the plan's."""
        assert self._session.plan is not None
        host = self._session.plan.host
        if request.path != self._start_path or request.form.get("host", host) == host:
            return None
        return jsonify(success=False, message=f"The plan's host is {host}; another one needs another start.")

    def _add_rows(self, response: Response) -> Response:
        """Locust keeps its reply for two seconds and sends it again: it is copied, not changed."""
        if request.path != self._stats_path or not response.is_json or response.status_code != 200:
            return response
        data = response.get_json()
        data["state"] = self._state(data["state"])
        rows = [
            {ORDER: index, **dict(zip(COLUMNS, row, strict=True))} for index, row in enumerate(self._rows())
        ]
        data["extended_stats"] = [*data.get("extended_stats", []), {"key": KEY, "data": rows}]
        return jsonify(data)

    def _state(self, state: str) -> str:
        """The page asks for news only while a test spawns or runs: not when it was just started (it would
        show the form again), and not while it is being stopped (it would stay so for ever)."""
        starting = state in (STATE_INIT, STATE_STOPPED) and bool(self._session.runner.shape_greenlet)
        return STATE_SPAWNING if starting or state in (STATE_CLEANUP, STATE_STOPPING) else state

    def _report(self) -> Response:
        """The report of the last run that has one."""
        page = self._session.report
        if page is None:
            return Response(
                "There is no report yet: it is written when a run ends.", 404, mimetype="text/plain"
            )
        return Response(page.read_text(encoding="utf-8"), mimetype="text/html")

    def _rows(self) -> Iterator[Row]:
        run = self._session.run
        if self._session.problem:
            yield "problem", "", "", "", self._session.problem
        if run is None or (self._session.problem and run.watch is None):
            return
        verdict, report = run.verdict, self._session.report
        yield _head(run)
        if report is not None and report.parent == run.folder:
            detail = f"{run.folder}; the tab Download Data has a link to it"
            yield "report", self._report_path, "written", "", detail
        yield from (_step(run, step) for step in (run.plan.load.steps if run.plan.load is not None else ()))
        yield from (_fault(run, fault) for fault in run.plan.faults)
        if verdict is not None:
            yield from _findings(verdict)
        else:
            yield from (("objective", o.text, "judged at the end", "", "") for o in run.plan.objectives)


def _head(run: ChaosRun) -> Row:
    if run.verdict is not None:
        outcome = run.verdict.outcome
        return "verdict", run.run_id, outcome.value, "", without_word(run.verdict.sentence, outcome)
    if run.ended_s is not None:
        return "run", run.run_id, "ending", "", "faults are undone, answers to what was sent are waited for"
    length = f" of {run.duration_s:g} s" if math.isfinite(run.duration_s) else ""
    state = "running" if run.now_s > 0 else "starting"
    return "run", run.run_id, state, "", f"{max(0.0, run.now_s):.0f} s{length}"


def _step(run: ChaosRun, step: Step) -> Row:
    assert run.plan.load is not None
    unit = "/s" if run.plan.load.workload == "open" else " users"
    level = f"{step.start_level:g}{unit}"
    if step.end_level != step.start_level:
        level = f"{step.start_level:g} to {step.end_level:g}{unit}"
    now_s = run.now_s if run.ended_s is None else run.ended_s
    if now_s >= step.ends_s:
        state = "over"
    elif run.ended_s is not None:
        state = "not run" if now_s <= step.starts_s else f"cut off at {now_s:.1f} s"
    else:
        state = "waiting" if now_s < step.starts_s else "active"
    return "step", step.name, state, f"{step.starts_s:g} s", f"{level} for {step.duration_s:g} s"


def _fault(run: ChaosRun, fault: Fault) -> Row:
    event, effect = run.fault_states.get(fault.name), run.effects.get(fault.name)
    state = "waiting" if run.ended_s is None else "not run"
    if event is not None:
        state = f"{event.state.replace('_', ' ')} at {event.t_s:.2f} s"
    due = f"{fault.at_s:g} s" if fault.at_s is not None else f"when {fault.when}"
    details = [event.detail if event else "", effect.detail if effect else ""]
    what = f"fault ({fault.kind} on {fault.target})"
    return what, fault.name, state, due, ", ".join(filter(None, details))


def _findings(verdict: Verdict) -> Iterator[Row]:
    for finding in failures_first(verdict.findings):
        yield finding.source.replace("_", " "), title(finding), word(finding), "", finding.reason
