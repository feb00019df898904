"""The process that takes the measures of a plan's `compliance:` while its run goes on: beside the load, whose
generator they must not hold up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from chaos_locust.journal import CONTROLS_NAME
from chaos_locust.plan.compliance import AssertedControls

END_LIMIT_S = 60.0
"""For the measure under way, and for the positive controls."""


class Auditing:
    """What goes wrong in it is in `compliance.log` beside the measurements; a control that was not looked at
    is INCONCLUSIVE in the verdict."""

    def __init__(self, asked: AssertedControls, folder: Path) -> None:
        self._asked, self._folder = asked, folder
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, start_epoch_s: float) -> None:
        job = {
            "framework": self._asked.framework,
            "controls": self._asked.controls,
            "checks": self._asked.checks,
            "target": self._asked.target,
            "every_s": self._asked.every_s,
            "allow_disruptive": self._asked.allow_disruptive,
            "start_epoch_s": start_epoch_s,
            "file": str(self._folder / CONTROLS_NAME),
        }
        with (self._folder / "compliance.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "compliance.during", json.dumps(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the run, which ends it in its own time
            )

    def stop(self) -> None:
        """No more rounds of measures."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def join(self) -> None:
        """Returns when all is written."""
        if self._process is None:
            return
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
