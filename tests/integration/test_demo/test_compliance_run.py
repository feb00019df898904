"""Controls asserted while the demo shop is under load and its identity service is away, as users do it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PLAN = ROOT / "locustfiles" / "plans" / "compliance-identity.yaml"
COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
LIMIT_S = 180


def run(shop, folder: Path, plan: dict[str, Any]) -> tuple[int, dict[str, Any], str]:
    """Exit code, the finding about the control, and what was printed."""
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan))
    environ = {**os.environ, **shop.ready["env"], "XDG_STATE_HOME": str(folder / "state")}
    done = subprocess.run(
        [*COMMAND, "run", str(folder / "plan.yaml"), "--results", str(folder / "results")],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    (written,) = (folder / "results").glob("*/verdict.json")
    findings = json.loads(written.read_text())["findings"]
    (finding,) = (each for each in findings if each["source"] == "compliance")
    return done.returncode, finding, done.stdout + done.stderr


@pytest.fixture
def plan() -> dict[str, Any]:
    """The shipped one, as short as it can still say something."""
    found: dict[str, Any] = yaml.safe_load(PLAN.read_text())
    found["load"] = [{"step": "base", "rate": "20/s", "for": "32s"}]
    found["faults"][0] |= {"at": "14s", "for": "8s"}
    found["compliance"]["every"] = "2s"
    # What the control is about is asked here; how the shop bears it is asked by the plan as it is shipped.
    found["objectives"] = ['error_rate of "GET /products" < 50% during run']
    return found


def test_nobody_is_let_in_while_the_identity_service_is_away(shop, tmp_path, plan) -> None:
    code, finding, printed = run(shop, tmp_path, plan)
    assert finding["outcome"] == "UPHELD", printed
    assert "before the faults, during no-identity, after the faults" in finding["reason"]
    assert code == 0, printed


def test_a_shop_that_fails_open_is_found_during_the_fault(start_shop, tmp_path, plan) -> None:
    code, finding, printed = run(start_shop("fails-open"), tmp_path, plan)
    assert (code, finding["outcome"]) == (3, "DEVIATED"), printed
    assert finding["subject"] == "7.3.3"
    assert finding["reason"].startswith("during no-identity"), finding["reason"]
    assert "made up" in finding["reason"]
