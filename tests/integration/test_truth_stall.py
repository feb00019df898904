"""A server that stops answering: what we report is what the schedule and the server's own log imply.

Nothing here comes of our measuring code: due times are computed from the rate, everything else is the
server's log.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from .locust_processes import PLAIN, Locust, finding, number, quantile
from .servers.timed import Logged, TimedServer

RATE = 200
LENGTH_S = 16
WARM_UP_S = 2
STALL_AFTER = 1000
STALL_S = 5
PLANNED = RATE * LENGTH_S


def due_s(index: int) -> float:
    """Arrivals of a constant rate are due in the middle of their intervals."""
    return (index + 0.5) / RATE


def stall_plan(host: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "a server that stops answering for 5 s",
        "host": host,
        "requests": [{"path": "/stall"}],
        "load": [{"step": "base", "rate": f"{RATE}/s", "for": f"{LENGTH_S}s"}],
        "warm_up": f"{WARM_UP_S}s",
        "baseline": "5s",
        "timeout": "10s",
        "objectives": ["p99 < 2s during run", "error_rate < 1% during run", "dropped < 1% during run"],
        **more,
    }


def started_s(log: list[Logged]) -> float:
    """The run's start as the server's log has it: no request came before it was due, some just then."""
    return min(entry.arrived_s - due_s(index) for index, entry in enumerate(log))


def print_beside(title: str, run: Locust, log: list[Logged], truth_p99_s: float) -> None:
    """The server's truth, ours, and what Locust itself would have told."""
    own, verdict = run.locusts_own(), run.verdict()
    totals, p99_s = verdict["totals"], number(finding(verdict, "p99 < 2s during run")["value"])
    counts = ", ".join(f"{key} {totals[key]}" for key in ("sent", "dropped", "failed", "unanswered"))
    print(f"\n{title}, {totals['offered']} requests were due")
    print(f"  the server's log: p99 {truth_p99_s:.3f} s, {len(log)} requests came")
    print(f"  chaos-locust: p99 {p99_s:.3f} s, {counts}; exit {verdict['exit_code']}")
    print(f"  Locust itself: p99 {own.p99_s} s, sent {own.requests}, failed {own.failures}")


@pytest.mark.parametrize("workers", [0, 2], ids=["local", "two workers"])
def test_a_stall_is_seen_in_full(tmp_path: Path, workers: int) -> None:
    with TimedServer(STALL_AFTER, STALL_S) as server:
        plan = stall_plan(server.url, max_users=3000)
        with Locust(tmp_path, plan, workers=[PLAIN] * workers) as run:
            code = run.wait()
            log, verdict = server.log(), run.verdict()
    # what was due is all that was sent, and each has its answer: the stall is no fault of the network
    assert len(log) == PLANNED
    assert all(entry.answered_s is not None for entry in log)
    start_s = started_s(log)
    took_s = [(entry.answered_s or 0) - start_s - due_s(index) for index, entry in enumerate(log)]
    judged_s = took_s[WARM_UP_S * RATE :]
    assert quantile(judged_s, 0.99) > 0.9 * STALL_S, "the server did stall"
    print_beside(f"{workers} workers", run, log, quantile(judged_s, 0.99))

    assert code == verdict["exit_code"] == 3
    totals = verdict["totals"]
    assert (totals["offered"], totals["sent"], totals["ok"]) == (PLANNED, PLANNED, PLANNED)
    assert (totals["dropped"], totals["lost"], totals["failed"], totals["unanswered"]) == (0, 0, 0, 0)
    slow = finding(verdict, "p99 < 2s during run")
    assert slow["outcome"] == "DEVIATED"
    assert slow["samples"] == len(judged_s)
    assert slow["value"] == pytest.approx(quantile(judged_s, 0.99), rel=0.02)
    assert abs(verdict["started_epoch_s"] - start_s) < 0.1
    (row,) = (row for row in verdict["table"] if row["phase"] == "run")
    assert (row["sent"], row["rate_rps"]) == (len(judged_s), RATE)
    for q, key in ((0.95, "p95_s"), (0.99, "p99_s"), (0.99, "p99_ok_s")):
        assert row[key] == pytest.approx(quantile(judged_s, q), rel=0.02), key


def test_requests_that_found_no_user_are_not_forgotten(tmp_path: Path) -> None:
    """The classic blind spot: 25 users stand in the stall, and nobody is there to send the other requests."""
    users, drop_after_s = 25, 3.0
    with TimedServer(STALL_AFTER, STALL_S) as server:
        plan = stall_plan(server.url, max_users=users, drop_after=f"{drop_after_s:g}s")
        with Locust(tmp_path, plan) as run:
            code = run.wait()
            log, verdict = server.log(), run.verdict()
    start_s = started_s(log[:STALL_AFTER])
    # with the stall's first request one user stands still, with the next 24 all; who waits is given up later
    first = STALL_AFTER - 1 + users
    over_s = min((e.answered_s or math.inf) for e in log[STALL_AFTER - 1 :]) - start_s
    implied = sum(due_s(index) < over_s - drop_after_s for index in range(first, PLANNED))
    assert implied > 0.05 * PLANNED, "the server did stall"
    print_beside("25 users at most", run, log, math.inf)

    totals = verdict["totals"]
    assert totals["offered"] == PLANNED
    assert totals["sent"] == totals["ok"] == len(log)
    assert totals["dropped"] == PLANNED - len(log)
    assert totals["dropped"] == pytest.approx(implied, rel=0.02)
    dropped = finding(verdict, "dropped < 1% during run")
    assert dropped["value"] == pytest.approx(totals["dropped"] / (PLANNED - WARM_UP_S * RATE))
    assert number(finding(verdict, "p99 < 2s during run")["value"]) == math.inf
    # the oldest that waited were dropped; who was left was sent late, and that counts from the due time
    sent = [index for index in range(PLANNED) if not first <= index < first + totals["dropped"]]
    took_s = [
        (entry.answered_s or math.inf) - start_s - due_s(index)
        for index, entry in zip(sent, log, strict=True)
        if index >= WARM_UP_S * RATE
    ]
    (row,) = (row for row in verdict["table"] if row["phase"] == "run")
    assert quantile(took_s, 0.95) > 1
    assert row["sent"] == len(took_s)
    assert row["p95_s"] == pytest.approx(quantile(took_s, 0.95), rel=0.02)
    # Locust's own p99 is a few ms, for 25 slow requests are less than 1 %; ours can only be doubted
    own_p99_s = run.locusts_own().p99_s
    assert own_p99_s is not None
    assert own_p99_s < 1
    assert code == verdict["exit_code"] == 4
    assert any("dropped for lack of users" in reason for reason in verdict["trust"]["reasons"])
