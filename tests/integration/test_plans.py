"""The plans that we ship, run against one demo shop, as short as each can still decide all its objectives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from chaos_locust.events import FaultEvent, GeneratorSample, Recording, StepSeen
from chaos_locust.journal import read_journal
from chaos_locust.plan.documents import load_plan
from chaos_locust.plan.model import Plan
from chaos_locust.reports.verdict_json import verdict_schema

ROOT = Path(__file__).parents[2]
PLANS = ROOT / "locustfiles" / "plans"
COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
SHORT = {"SOAK_FOR": "41s", "STRESS_TO": "100/s"}
STEP_LIMIT_S = 0.1
ONSET_LIMIT_S = 0.05
START_LIMIT_S = 90.0
MOST_LINES = 60


@pytest.fixture(scope="module")
def shop() -> Iterator[Mapping[str, str]]:
    """The variables of a running demo shop."""
    with tempfile.TemporaryDirectory(prefix="plans-shop-") as folder:
        ready = Path(folder) / "ready.json"
        command = [sys.executable, "-m", "chaos_locust.demo", "serve", "--ports", "free"]
        process = subprocess.Popen([*command, "--ready-file", str(ready)], stdout=subprocess.DEVNULL)
        try:
            give_up_s = time.monotonic() + START_LIMIT_S
            while not ready.exists():
                assert process.poll() is None, "the shop ended at once"
                assert time.monotonic() < give_up_s, "the shop did not start"
                time.sleep(0.1)
            env: dict[str, str] = json.loads(ready.read_text())["env"]
            yield env
        finally:
            process.terminate()
            process.wait(30)


class Run:
    """A run of a shipped plan, over."""

    def __init__(self, name: str, folder: Path, shop: Mapping[str, str]) -> None:
        environ = {**os.environ, **shop, **SHORT, "XDG_STATE_HOME": str(folder / "state")}
        path = PLANS / f"{name}.yaml"
        self.plan: Plan = load_plan(path, environ)
        command = [*COMMAND, "run", str(path), "--results", str(folder / "results")]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        self.exit_code, self.output = done.returncode, f"{done.stdout}\n{done.stderr}"
        (self.folder,) = (folder / "results").iterdir()
        self.verdict: dict[str, Any] = json.loads((self.folder / "verdict.json").read_text())
        self.recording: Recording = read_journal(self.folder)

    def stood_still_s(self, t_s: float) -> float:
        """For how long the machine gave the load no turn around `t_s`, as it has recorded itself."""
        return max(
            event.loop_lateness_s
            for event in self.recording.events
            if isinstance(event, GeneratorSample) and abs(event.t_s - t_s) < 2
        )


@pytest.mark.parametrize("name", ["ramp", "soak", "stress", "demo"])
def test_plan(name: str, tmp_path: Path, shop: Mapping[str, str]) -> None:
    run = Run(name, tmp_path, shop)
    assert run.exit_code == 0, run.output
    assert run.verdict["exit_code"] == 0
    Draft202012Validator(verdict_schema()).validate(run.verdict)
    outcomes = {finding["text"]: finding["outcome"] for finding in run.verdict["findings"]}
    for objective in run.plan.objectives:
        assert objective.text in outcomes, f"{objective.text} is not in the verdict: {outcomes}"
    if name == "stress":
        assert run.verdict["stress_level"] >= 40
        assert f"{run.verdict['stress_level']:g}/s" in run.output
    else:
        assert set(outcomes.values()) == {"UPHELD"}, outcomes
    _steps_were_on_time(run)
    _faults_were_on_time(run)


def _steps_were_on_time(run: Run) -> None:
    assert run.plan.load is not None
    seen = {event.step: event for event in run.recording.events if isinstance(event, StepSeen)}
    assert [*seen] == [step.name for step in run.plan.load.steps]
    for step in run.plan.load.steps:
        event = seen[step.name]
        assert event.due_s == pytest.approx(step.starts_s)
        late_s = event.seen_s - event.due_s
        print(f"step {step.name}: {late_s * 1000:.1f} ms late")
        assert 0 <= late_s <= STEP_LIMIT_S + run.stood_still_s(step.starts_s), event


def _faults_were_on_time(run: Run) -> None:
    for fault in run.plan.faults:
        assert fault.at_s is not None
        events = [e for e in run.recording.events if isinstance(e, FaultEvent) and e.fault == fault.name]
        (asked,) = (event for event in events if event.state == "asked")
        late_s = asked.t_s - fault.at_s
        print(f"fault {fault.name}: asked {late_s * 1000:.1f} ms late")
        assert 0 <= late_s <= ONSET_LIMIT_S + run.stood_still_s(fault.at_s), events
        assert events[-1].state == ("active" if fault.instant else "reverted"), events


def test_locustfiles_are_short() -> None:
    files = [path for path in (ROOT / "locustfiles").rglob("*") if path.suffix in (".py", ".yaml")]
    assert len(files) >= 6
    lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}
