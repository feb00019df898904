"""Master and workers, seen from outside: the target's log, the exit code, the reports."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .locust_processes import PLAIN, Locust
from .servers.timed import Logged, TimedServer

STEPS = ((100, 2), (250, 2), (50, 3))  # requests/s, s
FAULTY = """
import os
from locust import FastHttpUser, events, task
import chaos_locust
chaos_locust.register()

class Visitor(FastHttpUser):
    @task
    def visit(self):
        self.client.get("/visit")
"""
LISTENER_RAISES = (
    FAULTY
    + """
@events.request.add_listener
def broken(**_):
    raise ValueError("a mistake in a listener")
"""
)
OTHER_VERSION = (
    """
import chaos_locust.locust_plugin.worker
chaos_locust.locust_plugin.worker.__version__ = "0.0.1"
"""
    + FAULTY
)
NOT_REGISTERED = FAULTY.replace("chaos_locust.register()", "")


def easy_plan(host: str, length_s: int = 4, rate: int = 50) -> dict[str, Any]:
    """It would be upheld, if nothing went wrong with the load itself."""
    return {
        "name": "an easy plan",
        "host": host,
        "load": [{"step": "base", "rate": f"{rate}/s", "for": f"{length_s}s"}],
        "warm_up": "1s",
        "baseline": "1s",
        "timeout": "2s",
        "objectives": ["error_rate < 5% during run"],
    }


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def started_s(log: list[Logged], due_s: list[float]) -> float:
    """The run's start as the log has it: no request came before it was due, some just then."""
    return min(entry.arrived_s - due for entry, due in zip(log, due_s, strict=True))


@pytest.mark.parametrize("workers", [0, 2], ids=["local", "two workers"])
def test_steps_come_at_their_time_and_rate(tmp_path: Path, workers: int) -> None:
    plan = easy_plan("") | {"requests": [{"path": "/visit"}]}
    plan["load"] = [
        {"step": f"step-{index}", "rate": f"{rate}/s", "for": f"{length_s}s"}
        for index, (rate, length_s) in enumerate(STEPS)
    ]
    with (
        TimedServer() as server,
        Locust(tmp_path, plan | {"host": server.url}, workers=[PLAIN] * workers) as run,
    ):
        code = run.wait()
        log, verdict = server.log(), run.verdict()
    due_s: list[float] = []
    begins = [sum(length_s for _, length_s in STEPS[:index]) for index in range(len(STEPS) + 1)]
    for begin_s, (rate, length_s) in zip(begins, STEPS, strict=False):
        due_s += [begin_s + (index + 0.5) / rate for index in range(rate * length_s)]
    assert len(log) == len(due_s)
    start_s = started_s(log, due_s)
    arrived_s = [entry.arrived_s - start_s for entry in log]
    for begin_s, (rate, length_s) in zip(begins, STEPS, strict=False):
        seen = sum(begin_s <= t_s < begin_s + length_s for t_s in arrived_s)
        assert seen == pytest.approx(rate * length_s, rel=0.01), f"the rate of the step at {begin_s} s"
    for begin_s in begins[1:-1]:
        first = next(index for index, due in enumerate(due_s) if due >= begin_s)
        assert abs(arrived_s[first] - due_s[first]) < 0.1, f"the boundary at {begin_s} s"
    assert arrived_s[-1] < begins[-1] + 0.1

    assert code == verdict["exit_code"] == 0
    assert verdict["outcome"] == "UPHELD"
    assert verdict["totals"]["offered"] == verdict["totals"]["ok"] == len(log)
    assert verdict["trust"]["workers"] == max(1, workers)
    assert abs(verdict["started_epoch_s"] - start_s) < 0.1


def test_a_killed_worker_is_told_and_nothing_is_upheld(tmp_path: Path) -> None:
    rate, length_s = 100, 8
    plan = easy_plan("", length_s, rate) | {"requests": [{"path": "/visit"}]}
    with (
        TimedServer() as server,
        Locust(tmp_path, plan | {"host": server.url}, workers=[PLAIN, PLAIN]) as run,
    ):
        until(lambda: len(server.log()) >= 2 * rate)
        run.workers[0].send_signal(signal.SIGKILL)
        code = run.wait()
        log, verdict = server.log(), run.verdict()
    totals, planned = verdict["totals"], rate * length_s
    assert code == verdict["exit_code"]
    assert code in (3, 4)
    assert verdict["outcome"] in ("DEVIATED", "INCONCLUSIVE")
    assert totals["offered"] == planned, "nothing of the schedule is forgotten"
    assert totals["sent"] + totals["lost"] + totals["dropped"] == planned
    assert totals["sent"] == totals["ok"] + totals["failed"] + totals["unanswered"]
    # what the worker did between its last report and its death nobody but the server knows
    assert totals["sent"] <= len(log) <= totals["sent"] + rate / 2
    assert totals["lost"] >= planned - len(log)
    # half of the rate, from a report at most half a second before it died until the others took over
    assert rate / 2 * 1.0 <= totals["lost"] <= rate / 2 * 6.5
    assert (verdict["trust"]["workers"], verdict["trust"]["workers_lost"]) == (2, 1)
    reasons = " ".join(verdict["trust"]["reasons"])
    assert f"{totals['lost']} arrivals were lost" in reasons
    for report in ("report.html", "summary.md", "junit.xml"):
        text = (run.results / report).read_text()
        assert f"{totals['lost']} arrivals were lost" in text, report
        assert "was lost" in text, report
    assert f"{totals['lost']} arrivals were lost" in " ".join(run.output().split())


@pytest.mark.parametrize("workers", [0, 2], ids=["local", "a worker"])
def test_a_listener_that_raises_is_never_a_success(tmp_path: Path, workers: int) -> None:
    good, broken = written(tmp_path, "good.py", FAULTY), written(tmp_path, "broken.py", LISTENER_RAISES)
    with TimedServer() as server:
        plan, main = easy_plan(server.url), good if workers else broken
        with Locust(tmp_path, plan, main, workers=[good, broken][:workers]) as run:
            code, verdict = run.wait(), run.verdict()
    assert code == verdict["exit_code"] == 4
    assert verdict["totals"]["ok"] == 200, "the requests themselves were all well"
    assert any("raised" in reason for reason in verdict["trust"]["reasons"])


def test_a_worker_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    good, other = written(tmp_path, "good.py", FAULTY), written(tmp_path, "other.py", OTHER_VERSION)
    with (
        TimedServer() as server,
        Locust(tmp_path, easy_plan(server.url), good, workers=[good, other]) as run,
    ):
        code, verdict = run.wait(), run.verdict()
        log = server.log()
        run.workers[1].wait(20)
        pid = run.workers[1].pid
    assert code == verdict["exit_code"] == 4
    (reason,) = (each for each in verdict["trust"]["reasons"] if "refused" in each)
    assert f":{pid} " in reason
    assert "0.0.1" in reason
    assert reason in " ".join(run.output().split())
    assert len(log) == verdict["totals"]["sent"] == 200, "the other one sends the whole load"


def test_a_worker_without_chaos_locust_makes_it_inconclusive(tmp_path: Path) -> None:
    good, plain = written(tmp_path, "good.py", FAULTY), written(tmp_path, "plain.py", NOT_REGISTERED)
    with (
        TimedServer() as server,
        Locust(tmp_path, easy_plan(server.url), good, workers=[good, plain]) as run,
    ):
        code, verdict = run.wait(), run.verdict()
        log = server.log()
    assert code == verdict["exit_code"] == 4
    assert verdict["outcome"] == "INCONCLUSIVE"
    assert any("chaos_locust.register()" in reason for reason in verdict["trust"]["reasons"])
    assert len(log) == verdict["totals"]["sent"] == 200, "what nobody counts is not sent"


SHAPE = (
    FAULTY
    + """
from chaos_locust import SoakShape

class Own(SoakShape):
    rate, for_ = "10/s", "5s"
"""
)


@pytest.mark.parametrize(
    ("options", "locustfile", "other"),
    [
        (["--chaos-load", "soak rate=10/s for=5s"], FAULTY, "--chaos-load"),
        (["-u", "10", "-t", "5s"], FAULTY, "--users/--run-time"),
        ([], SHAPE, "the shape Own"),
    ],
    ids=["an option", "Locust's own", "a shape"],
)
def test_two_loads_are_refused_and_the_workers_sent_home(
    tmp_path: Path, options: list[str], locustfile: str, other: str
) -> None:
    file = written(tmp_path, "locustfile.py", locustfile)
    with (
        TimedServer() as server,
        Locust(tmp_path, easy_plan(server.url), file, workers=[file, file], options=options) as run,
    ):
        code = run.wait(30)
        for worker in run.workers:
            worker.wait(20)
        assert server.log() == []
    assert code == 2
    told = run.output()
    assert "load: in the plan" in told
    assert other in told
    assert "Traceback" not in told
    assert not (tmp_path / "results").exists()
