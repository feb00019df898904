"""A server that accepts and never answers. Locust alone reports nothing at all, and success."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .locust_processes import PLAIN, Locust, finding
from .servers.timed import TimedServer

RATE, LENGTH_S, TIMEOUT_S = 20, 4, 2
PLANNED = RATE * LENGTH_S

PATIENT = """
from locust import FastHttpUser, task
{register}
class Patient(FastHttpUser):
    network_timeout = connection_timeout = 60
    @task
    def visit(self):
        self.client.get("/visit")
"""


@pytest.mark.parametrize("users", ["with the plan's time-out", "with none"])
def test_what_is_never_answered_has_failed(tmp_path: Path, users: str) -> None:
    plan: dict[str, Any] = {
        "name": "a server that never answers",
        "load": [{"step": "base", "rate": f"{RATE}/s", "for": f"{LENGTH_S}s"}],
        "warm_up": "1s",
        "baseline": "2s",
        "timeout": f"{TIMEOUT_S}s",
        "objectives": ["error_rate < 5% during run", "p95 < 1s during run"],
    }
    locustfile = PLAIN
    if users == "with none":
        locustfile = tmp_path / "patient.py"
        locustfile.write_text(PATIENT.format(register="import chaos_locust; chaos_locust.register()"))
    else:
        plan["requests"] = [{"path": "/visit"}]
    with (
        TimedServer(stall_after=1, stall_s=float("inf")) as server,
        Locust(tmp_path, plan | {"host": server.url}, locustfile) as run,
    ):
        code = run.wait()
        log, verdict = server.log(), run.verdict()
    assert len(log) == PLANNED
    assert not any(entry.answered_s for entry in log)

    assert code == verdict["exit_code"] == 3
    totals = verdict["totals"]
    assert totals["offered"] == totals["sent"] == PLANNED
    assert (totals["ok"], totals["dropped"]) == (0, 0)
    assert totals["failed"] + totals["unanswered"] == PLANNED
    if users == "with none":
        assert totals["unanswered"] == PLANNED
    else:  # what was sent in the last seconds is waited for as long as anything else
        assert set(totals["errors"]) == {"timeout"}
        assert totals["failed"] >= (LENGTH_S - TIMEOUT_S) * RATE
    judged = (LENGTH_S - 1) * RATE
    errors, slow = finding(verdict, "error_rate < 5% during run"), finding(verdict, "p95 < 1s during run")
    assert (errors["outcome"], errors["value"], errors["samples"]) == ("DEVIATED", 1.0, judged)
    assert (slow["outcome"], slow["value"], slow["samples"]) == ("DEVIATED", "Infinity", judged)
    assert f"100 % of {judged} failed" in errors["reason"]
    assert f"{PLANNED}" in run.output()
    (row,) = (row for row in verdict["table"] if row["phase"] == "run")
    assert (row["sent"], row["ok"], row["p50_s"], row["p99_ok_s"]) == (judged, 0, "Infinity", None)


def test_what_is_under_way_at_the_end_is_waited_for(tmp_path: Path) -> None:
    """The last requests are answered a second after the load's end; Locust alone loses some."""
    under_way = 10
    plan: dict[str, Any] = {
        "name": "a server that is slow at the end",
        "requests": [{"path": "/visit"}],
        "load": [{"step": "base", "rate": f"{RATE}/s", "for": f"{LENGTH_S}s"}],
        "warm_up": "1s",
        "baseline": "2s",
        "timeout": "4s",
        "objectives": ["error_rate < 5% during run"],
    }
    with (
        TimedServer(stall_after=PLANNED - under_way + 1, stall_s=1.5) as server,
        Locust(tmp_path, plan | {"host": server.url}, workers=[PLAIN, PLAIN]) as run,
    ):
        code = run.wait()
        log, verdict = server.log(), run.verdict()
    ends_s = verdict["started_epoch_s"] + LENGTH_S
    assert sum((entry.answered_s or 0) > ends_s for entry in log) == under_way
    assert code == verdict["exit_code"] == 0
    totals = verdict["totals"]
    assert totals["sent"] == totals["ok"] == len(log) == PLANNED


def test_locust_alone_calls_the_same_a_success(tmp_path: Path) -> None:
    """Why all this is needed; if Locust ever changes this, our words about it have to change as well."""
    locustfile = tmp_path / "patient.py"
    locustfile.write_text(PATIENT.format(register=""))
    with TimedServer(stall_after=1, stall_s=float("inf")) as server:
        command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--only-summary"]
        command += ["--host", server.url, "-u", "10", "-r", "10", "-t", "3s"]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        log = server.log()
    assert len(log) == 10
    assert ended.returncode == 0, ended.stdout + ended.stderr
