"""Kinds of installed packages: what is wrong with one is told in a line, not in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_a_kind_that_cannot_be_loaded_is_one_message_and_code_2(tmp_path: Path) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[chaos_locust.faults]\nbroken = no_such_module:Fault\n")
    done = subprocess.run(
        [sys.executable, "-c", "from chaos_locust.cli import main; main()", "faults"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    told = "chaos-locust: fault kind broken (no_such_module:Fault) cannot be loaded: No module named"
    assert done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) == 1
