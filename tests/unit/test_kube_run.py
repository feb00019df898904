"""`make test-kube`: which cluster it takes, and that the one it started is ended whatever happens."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "kube" / "run.sh"


def run(folder: Path, **environ: str) -> tuple[int, str, list[str]]:
    """(exit code, errors, what was called) where `pytest` writes its KUBECONFIG down and ends with 7."""
    calls = folder / "calls"
    pytest_ = folder / "pytest"
    pytest_.write_text(f'#!/bin/sh\necho "pytest $* with $KUBECONFIG" >> {calls}\nexit 7\n')
    pytest_.chmod(0o755)
    own = {k: v for k, v in os.environ.items() if k not in ("KUBECONFIG", "CHAOS_LOCUST_KUBE_UP")}
    done = subprocess.run(
        [SCRIPT, pytest_, "-x"], env={**own, **environ}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr, calls.read_text().splitlines() if calls.exists() else []


def starter(folder: Path, text: str, code: int = 0) -> str:
    path = folder / "up"
    path.write_text(
        f'#!/bin/sh\necho "up $*" >> {folder}/calls\n[ "$1" = up ] || exit 0\n{text}\nexit {code}\n'
    )
    path.chmod(0o755)
    return str(path)


def test_the_cluster_that_is_there(tmp_path: Path) -> None:
    up = starter(tmp_path, "")
    code, _, calls = run(tmp_path, KUBECONFIG="/there", CHAOS_LOCUST_KUBE_UP=up)
    assert (code, calls) == (7, ["pytest -x tests/kube with /there"])


def test_one_that_is_started_and_ended(tmp_path: Path) -> None:
    up = starter(tmp_path, "echo starting\necho KUBECONFIG=/made")
    code, _, calls = run(tmp_path, CHAOS_LOCUST_KUBE_UP=up)
    assert (code, calls) == (7, ["up up node netpol", "pytest -x tests/kube with /made", "up clean"])


@pytest.mark.parametrize("text", ["echo no", "", "echo KUBECONFIG="])
def test_one_that_did_not_start(tmp_path: Path, text: str) -> None:
    code, told, calls = run(tmp_path, CHAOS_LOCUST_KUBE_UP=starter(tmp_path, text, 1))
    assert code == 2
    assert "has not told KUBECONFIG=... in its last line" in told
    assert calls == ["up up node netpol", "up clean"]


def test_none(tmp_path: Path) -> None:
    code, told, calls = run(tmp_path)
    assert (code, calls) == (2, [])
    assert told == "needs a cluster: set KUBECONFIG, or CHAOS_LOCUST_KUBE_UP to a script that starts one\n"
