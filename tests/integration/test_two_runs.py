"""Two runs of one user at once: at different targets they go on side by side, at the same one they do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .locust_processes import Locust
from .proxied_target import ProxiedTarget, wait_for

COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
LIMIT_S = 120


def plan_of(target: ProxiedTarget) -> dict[str, Any]:
    slow = {"name": "slow", "kind": "latency", "target": "link", "latency": "40ms", "at": "6s", "for": "35s"}
    return target.plan(
        load=[{"step": "base", "rate": "40/s", "for": "45s"}],
        warm_up="1s",
        baseline="2s",
        steady_state=["error_rate < 90%"],
        faults=[slow],
        objectives=["error_rate < 50% during run"],
    )


def test_two_runs(tmp_path: Path) -> None:
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    with ProxiedTarget() as one, ProxiedTarget() as two:
        first = Locust(tmp_path / "first", plan_of(one), environ=environ)
        second = Locust(tmp_path / "second", plan_of(two), environ=environ)
        third = Locust(tmp_path / "third", plan_of(one), environ=environ)
        with first, second:
            wait_for(lambda: one.toxics() == two.toxics() == ["latency"], "both faults act")
            with third:
                assert third.wait(LIMIT_S) == 2
                (told,) = (line for line in third.output().splitlines() if "targets.link" in line)
            assert f"is in the hands of run {run_id(first)} (process {first.process.pid}, " in told
            done = subprocess.run(
                [*COMMAND, "cleanup", "--at", plan_of(one)["proxy_api"], "--at", plan_of(two)["proxy_api"]],
                env=environ,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
            )
            assert (done.returncode, done.stdout) == (0, "Nothing to undo.\n"), done.stderr
            assert one.toxics() == two.toxics() == ["latency"], "runs that are alive keep their faults"
            for locust in (first, second):
                assert locust.wait(LIMIT_S) == 0, locust.output()
                (fault,) = locust.verdict()["faults"]
                lasted_s = fault["reverted_s"] - fault["active_s"]
                assert 34.9 < lasted_s < 40, fault
        assert one.toxics() == two.toxics() == []
        assert [path.name for path in (tmp_path / "state").rglob("leases/*")] == []
        assert not (tmp_path / "third" / "results").exists(), "nothing was started"


def run_id(locust: Locust) -> str:
    with (locust.results / "journal.jsonl").open() as journal:
        return str(json.loads(journal.readline())["run_id"])
