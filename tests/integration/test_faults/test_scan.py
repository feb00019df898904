"""`cleanup --scan` finds what no lease tells of on this machine, and leaves alone what a living run has done.

It would find the faults of other tests as well, and so has a machine of its own: namespaces of the kernel.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

OWN_MACHINE = ("unshare", "--fork", "--pid", "--kill-child", "--net", "--mount", "--mount-proc")


def test_a_machine_is_scanned(tmp_path: Path) -> None:
    if not shutil.which("unshare") or subprocess.run([*OWN_MACHINE, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to make namespaces")
    if not shutil.which("nft"):
        pytest.skip("needs the program nft")
    done = subprocess.run(
        [*OWN_MACHINE, sys.executable, "-m", "tests.integration.test_faults.machine_scan", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0, found
    assert found["files"] == ["dead"], "put back, and only that of the dead run"
    assert len(found["tables"]) == 1, found
    assert "chaos-run-alive" in found["tables"][0]
    told = [line for line in found["out"].splitlines() if line.startswith("undone: ")]
    assert len(told) == 2, found
    assert all("found by its mark" in line for line in told)
