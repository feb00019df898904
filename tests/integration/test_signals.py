"""A headless run that gets a signal undoes its fault, is judged and reported, and never ends with 0."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import chaos_locust
from bench.ports import free_port

from .proxied_target import ProxiedTarget, wait_for

LOCUSTFILE = Path(chaos_locust.__file__).parent / "locust_plugin" / "plain.py"
PLAN: dict[str, Any] = {
    "load": [{"step": "early", "rate": "40/s", "for": "3s"}, {"step": "later", "rate": "40/s", "for": "60s"}],
    "warm_up": "500ms",
    "baseline": "1s",
    "faults": [
        {
            "name": "slow-link",
            "kind": "latency",
            "target": "link",
            "latency": "40ms",
            "at": "5s",
            "for": "50s",
        }
    ],
}
HOLDS, CANNOT_HOLD = "error_rate < 20% during run", "throughput > 1000/s during early"


@pytest.fixture(scope="module")
def target() -> Iterator[ProxiedTarget]:
    with ProxiedTarget() as target:
        yield target


@pytest.fixture
def start(tmp_path: Path, target: ProxiedTarget) -> Iterator[Any]:
    """Starts a headless Locust with the plan; ended after the test, whatever became of it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(objective: str, *options: str) -> subprocess.Popen[bytes]:
        plan = tmp_path / "plan.yaml"
        plan.write_text(json.dumps(target.plan(**PLAN, objectives=[objective])))
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
        environ = {k: v for k, v in os.environ.items() if k != "LOCUST_SKIP_MONKEY_PATCH"}
        with (tmp_path / "output").open("w") as output:
            process = subprocess.Popen(
                [*command, "--chaos-plan", str(plan), *options],
                stdout=output,
                stderr=output,
                env=environ,
                cwd=tmp_path,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
    print((tmp_path / "output").read_text())


@pytest.mark.parametrize(
    ("number", "objective", "exit_code", "outcome"),
    [
        (signal.SIGTERM, HOLDS, 4, "INCONCLUSIVE"),
        (signal.SIGINT, HOLDS, 4, "INCONCLUSIVE"),
        (signal.SIGHUP, HOLDS, 4, "INCONCLUSIVE"),
        (signal.SIGTERM, CANNOT_HOLD, 3, "DEVIATED"),
    ],
)
def test_a_signal_in_mid_fault(
    tmp_path: Path,
    target: ProxiedTarget,
    start: Any,
    number: signal.Signals,
    objective: str,
    exit_code: int,
    outcome: str,
) -> None:
    process = start(objective)
    wait_for(lambda: target.toxics() or process.poll() is not None, "the fault")
    assert target.toxics() == ["latency"]
    process.send_signal(number)
    process.send_signal(number)  # the impatient press Ctrl-C twice
    assert process.wait(30) == exit_code
    assert target.toxics() == []

    (results,) = (tmp_path / "results").iterdir()
    verdict = json.loads((results / "verdict.json").read_text())
    assert verdict["outcome"] == outcome
    assert verdict["exit_code"] == exit_code
    assert verdict["faults"][0]["state"] == "reverted"
    assert outcome in (results / "report.html").read_text()
    end = json.loads((results / "journal.jsonl").read_text().splitlines()[-1])
    assert (end["kind"], end["reason"], end["detail"]) == ("end", "interrupted", number.name)


def test_sigterm_while_the_run_is_prepared(tmp_path: Path, target: ProxiedTarget, start: Any) -> None:
    process, results = start(HOLDS), tmp_path / "results"
    wait_for(lambda: list(results.glob("*/journal.jsonl")), "the start of the run")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 4  # and not 2: nothing was wrong with the plan
    assert target.toxics() == []
    runs = {journal.parent for journal in results.glob("*/journal.jsonl")}
    assert all((run / "verdict.json").exists() for run in runs)


def test_sigterm_while_workers_are_waited_for(tmp_path: Path, start: Any) -> None:
    port = str(free_port())
    process = start(
        HOLDS, "--master", "--master-bind-port", port, "--expect-workers", "1", "--loglevel", "DEBUG"
    )
    # without --expect-workers-max-wait Locust would wait for ever
    wait_for(lambda: "Waiting for workers" in (tmp_path / "output").read_text(), "Locust waits")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 4
    assert not list((tmp_path / "results").glob("*"))
