"""A pod dies under 200 requests a second: with three of them users are served, with none they are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.servers.kubernetes_rig import Space, namespace, until

COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")


@pytest.mark.parametrize(("count", "code"), [(1, 0), ("all", 3)])
def test_pods_are_killed(api: Any, tmp_path: Path, count: Any, code: int) -> None:
    with namespace(api) as space:
        space.apply("deployment", "web", 3, {"requests": {"cpu": "20m"}})
        host = space.service()
        done, verdict = run(space, host, tmp_path, count)
        assert done.returncode == code, done.stdout + done.stderr
        outcomes = {each["text"]: each["outcome"] for each in verdict["findings"]}
        assert outcomes["the effect of kill was seen"] == "UPHELD", verdict["findings"]
        assert outcomes["error_rate < 3% during run"] == ("DEVIATED" if code else "UPHELD")
        until(space.is_whole, "all pods are ready again")
        assert space.marked() == []


def run(space: Space, host: str, folder: Path, count: Any) -> tuple[Any, Any]:
    """All pods gone is far longer without an answer than a single one of three."""
    target = {"namespace": space.name, "deployment": "web", "service": "web"}
    plan = {
        "name": "a pod dies under load",
        "host": host,
        "allow": [urlsplit(host).hostname],
        "kubernetes": {"namespaces": [space.name]},
        "targets": {"web": {"kubernetes": target}},
        "requests": [{"path": "/"}],
        "load": [{"step": "base", "rate": "200/s", "for": "35s"}],
        "warm_up": "2s",
        "baseline": "10s",
        "timeout": "2s",
        "faults": [{"name": "kill", "kind": "pod_kill", "target": "web", "count": count, "at": "15s"}],
        "objectives": ["error_rate < 3% during run"],
    }
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    environ = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    done = subprocess.run(
        [*COMMAND, "run", str(path), "--results", str(folder / "results")],
        env=environ, cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    verdicts = list((folder / "results").glob("*/verdict.json"))
    assert verdicts, (done.returncode, done.stdout, done.stderr)
    return done, json.loads(verdicts[0].read_text())
