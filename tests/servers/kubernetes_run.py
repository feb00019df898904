"""Whole runs with a fault in a real cluster, by the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.servers.kubernetes_rig import Space, until

COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
RUN_LIMIT_S = 300

Json = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """A run that is over."""

    code: int
    told: str
    folder: Path
    verdict: Json

    def outcome(self, text: str) -> str:
        return str(self.finding(text)["outcome"])

    def finding(self, text: str) -> Json:
        (found,) = [each for each in self.verdict["findings"] if each["text"] == text]
        return found  # type: ignore[no-any-return]

    @property
    def report(self) -> str:
        return (self.folder / "report.html").read_text()

    def needs_time(self) -> None:
        """Skips the test where the load generator, or the target without any fault, could not keep up, and so
        nothing can be said."""
        for fault in self.verdict["faults"]:
            if fault["state"] == "skipped" and ("steady" in fault["detail"] or "baseline" in fault["detail"]):
                pytest.skip(
                    f"needs time for the load: the machine is busy with other things, {fault['detail']}"
                )
        if any(each["text"] == "the load generator kept up" for each in self.verdict["findings"]) and (
            self.outcome("the load generator kept up") == "INCONCLUSIVE"
        ):
            pytest.skip("needs time for the load: the machine is busy with other things")


def environment(space: Space, host: str, **more: Any) -> Json:
    """A plan for the deployment `web` of a space, without faults."""
    target = {"namespace": space.name, "deployment": "web", "service": "web"}
    return {
        "name": "pods fail under load",
        "host": host,
        "allow": [urlsplit(host).hostname],
        "kubernetes": {"namespaces": [space.name]},
        "targets": {"web": {"kubernetes": target}},
        "requests": [{"path": "/"}],
        "warm_up": "2s",
        "baseline": "8s",
        "timeout": "2s",
        **more,
    }


def ended(folder: Path, *arguments: str, act: Callable[[], None] = lambda: None) -> Done:
    """By the command; `act` is done as soon as the load is on."""
    results = folder / "results"
    environ = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--results", str(results)],
        env=environ, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        until(lambda: _is_on(results) or process.poll() is not None, "the load is on", 120)
        act()
        told, _ = process.communicate(timeout=RUN_LIMIT_S)
    finally:
        process.kill()
        process.wait()
    verdicts = list(results.rglob("verdict.json"))
    assert verdicts, (process.returncode, told)
    verdict = json.loads(verdicts[0].read_text())
    return Done(process.returncode, told, verdicts[0].parent, verdict)


def run(space: Space, folder: Path, plan: Json, act: Callable[[], None] = lambda: None) -> Done:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    done = ended(folder, "run", str(path), act=act)
    done.needs_time()
    return done


def _is_on(results: Path) -> bool:
    return any('"window"' in path.read_text() for path in results.rglob("journal.jsonl"))
