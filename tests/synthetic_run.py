"""Makes the journal of a run that never was, but could have been: a slow database, a killed service.

`python tests/synthetic_run.py FOLDER` writes journal and reports, to look at the page without a run.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaos_locust import events as e
from chaos_locust.journal import JOURNAL_NAME, Journal, read_journal
from chaos_locust.judge.judge import judge
from chaos_locust.judge.layout import plan_layout
from chaos_locust.judge.verdict import Verdict
from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import ARRIVALS, Window
from chaos_locust.plan.documents import parse_plan
from chaos_locust.plan.model import Plan
from chaos_locust.plan.schedule import Schedule
from chaos_locust.reports.write import write_all

PLAN: dict[str, Any] = {
    "name": "checkout survives a slow database and a lost payment service",
    "host": "http://127.0.0.1:8000",
    "targets": {"postgres": {"proxy": "postgres"}, "payments": {"pidfile": "/tmp/payments.pid"}},
    "load": [
        {"step": "base", "rate": "50/s", "for": "60s"},
        {"step": "peak", "rate": "100/s", "for": "30s"},
        {"step": "after", "rate": "50/s", "for": "50s"},
    ],
    "faults": [
        {"name": "slow-db", "kind": "latency", "target": "postgres", "latency": "200ms", "jitter": "50ms",
         "at": "40s", "for": "15s"},
        {"name": "kill-payments", "kind": "kill", "target": "payments", "at": "100s"},
    ],
    "steady_state": ["error_rate < 1%", "p95 < 150ms"],
    "objectives": [
        "p99 < 100ms during baseline",
        "error_rate < 5% during slow-db",
        "p95 < 300ms during slow-db",
        "recovery < 5s after slow-db ends",
        'error_rate of "POST /orders" < 30% in every 5s during run',
        "throughput >= 95% of offered during peak",
        "outage < 2s during run",
        "recovery < 20s after kill-payments starts",
    ],
    "abort": ["error_rate > 60% for 5s"],
}  # fmt: skip
NAMES = (("GET /products", 0.55), ("GET /products/[id]", 0.25), ("POST /orders", 0.2))
STARTED_EPOCH_S = 1_795_261_500.0
NS = 1e9


def make_run(
    folder: Path, changes: Mapping[str, Any] | None = None, names: Mapping[str, str] | None = None
) -> None:
    """Write the journal. changes: other plan entries. names: other names for some requests."""
    plan = parse_plan({**PLAN, **(changes or {})}, {})
    layout = plan_layout(plan)
    draw = random.Random(7)
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / JOURNAL_NAME, layout, clock=lambda: 0.0)
    versions = {"chaos-locust": "0.1.0", "locust": "2.47.0", "python": "3.11.9"}
    command = "chaos-locust run plans/checkout.yaml"
    journal.write(
        e.RunStarted(
            0.0, "2026-11-21-114500-3fa2c1", STARTED_EPOCH_S, plan.to_json(), plan.seed, command, versions, 2
        )
    )
    for worker in ("w1", "w2"):
        journal.write(e.WorkerEvent(0.0, worker, "joined"))
        journal.write(e.ClockOffset(0.0, worker, 0.0012, 0.0004))
    duration_s = plan.duration_s or 0.0
    windows: dict[tuple[int, str], Window] = {}
    assert plan.load is not None
    for _, due_s in Schedule(plan.load, plan.seed).due_times(0.0, duration_s):
        _arrival(due_s, draw, windows, layout, names or {})
    for (second, name), window in sorted(windows.items()):
        journal.write_window(second, name, window)
    _events(journal, duration_s, draw)
    journal.close()


def judged(folder: Path) -> tuple[Verdict, e.Recording]:
    """The verdict of the run in `folder`, and its recording."""
    recording = read_journal(folder)
    return judge(Plan.from_json(recording.header.plan), recording), recording


def _arrival(
    due_s: float,
    draw: random.Random,
    windows: dict[tuple[int, str], Window],
    layout: Layout,
    names: Mapping[str, str],
) -> None:
    second = int(due_s)
    arrivals = windows.setdefault((second, ARRIVALS), Window(layout))
    arrivals.offer(due_s)
    if 74 <= due_s < 77 and draw.random() < 0.01:
        arrivals.drop(due_s)
        return
    name = draw.choices([n for n, _ in NAMES], [w for _, w in NAMES])[0]
    latency_s, error = _answer(name, due_s, draw)
    lateness_ns = round(abs(draw.gauss(0.4e-3, 0.2e-3)) * NS)
    shown = names.get(name, name)
    window = windows.setdefault((second, shown), Window(layout))
    for one in (arrivals, window):
        one.send(due_s)
        if error == "unanswered":
            one.give_up(due_s)
        else:
            one.answer(due_s, lateness_ns, round(latency_s * NS), error)
    if error in ERRORS:
        window.errors_sample.setdefault(error, ERRORS[error])


ERRORS = {
    "HTTP 503": '{"error": "payments are not to be reached", "retry_after": 2}',
    "HTTP 500": "Internal Server Error: QueuePool limit of size 5 overflow 10 reached, connection timed out",
    "timeout": "no answer within 10 s",
    "ConnectionReset": "[Errno 104] Connection reset by peer",
}


def _answer(name: str, due_s: float, draw: random.Random) -> tuple[float, str | None]:
    base = {"GET /products": 0.012, "GET /products/[id]": 0.009}.get(name, 0.031)
    crowd = 1.6 if 60 <= due_s < 90 else 1.0
    cold = 2.2 * math.exp(-due_s / 4)
    latency_s = base * (crowd + cold) * draw.lognormvariate(0, 0.35)
    if name == "POST /orders" or draw.random() < 0.5:
        if 40.2 <= due_s < 55.1:
            latency_s += draw.uniform(0.15, 0.25) * (2 if name == "POST /orders" else 1)
            latency_s += max(0.0, draw.gauss(0, 0.05) * (due_s - 40) / 5)
            if draw.random() < (0.33 if name == "POST /orders" else 0.02):
                return 2.0, "HTTP 500" if draw.random() < 0.8 else "timeout"
        elif 55.1 <= due_s < 59.3:
            latency_s += 0.35 * math.exp(-(due_s - 55) / 2.2)
    if name == "POST /orders" and 100.1 <= due_s < 112.4:
        if draw.random() < 0.85:
            return 0.004, "HTTP 503" if due_s > 101 else "ConnectionReset"
        if draw.random() < 0.02:
            return 0.0, "unanswered"
    return latency_s, None


def _events(journal: Journal, duration_s: float, draw: random.Random) -> None:
    def fault(t_s: float, name: str, state: e.FaultState, detail: str = "") -> None:
        journal.write(e.FaultEvent(t_s, name, state, detail))

    fault(40.0, "slow-db", "due")
    fault(40.02, "slow-db", "asked")
    fault(40.21, "slow-db", "active")
    journal.write(e.EffectSeen(41.2, "slow-db", True, True, "+203 ms on a hello to the link (2.1 ms before)"))
    seen = "+201 ms on a hello to the link (2.1 ms before); 4,312 kB of the load went through it"
    journal.write(e.EffectSeen(54.9, "slow-db", True, True, seen))
    fault(55.0, "slow-db", "revert_asked")
    fault(55.09, "slow-db", "reverted")
    fault(100.0, "kill-payments", "due")
    fault(100.01, "kill-payments", "asked")
    fault(100.06, "kill-payments", "active")
    gone = "pid 4711 is gone; 18 connections were open when it ended"
    journal.write(e.EffectSeen(100.6, "kill-payments", True, True, gone))
    for step, at_s in (("base", 0.0), ("peak", 60.0), ("after", 90.0)):
        journal.write(e.StepSeen(at_s + 0.003, step, at_s, at_s + 0.003, "w1"))
    for second in range(int(duration_s)):
        steady = None if second < 5 else not (42 <= second < 60 or 102 <= second < 116)
        journal.write(e.SteadyState(float(second), steady))
        for worker in ("w1", "w2"):
            cpu = 0.2 + 0.1 * draw.random() + (0.15 if 60 <= second < 90 else 0)
            journal.write(e.GeneratorSample(second + 0.5, worker, cpu, 0.002, 0.0011, 40, 3))
    journal.write(e.LoadStopped(duration_s, duration_s + 1.3))
    journal.write(e.RunEnded(duration_s + 1.5, "finished"))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    make_run(target)
    write_all(target, *judged(target))
