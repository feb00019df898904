"""A shop of its own for each run, and what a run's verdict says."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLANS = ROOT / "locustfiles" / "plans"
_START_S = 120


@contextmanager
def shop(defect: str | None) -> Iterator[dict[str, str]]:
    """A shop on free ports; yields the variables that the plans read."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        command = [sys.executable, "-m", "chaos_locust.demo", "serve", "--ports", "free"]
        command += ["--ready-file", str(ready), *(["--defect", defect] if defect else [])]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            give_up = time.monotonic() + _START_S
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > give_up:
                    raise SystemExit("the shop did not start")
                time.sleep(0.1)
            yield json.loads(ready.read_text())["env"]
        finally:
            process.terminate()
            process.wait()


@dataclass(frozen=True)
class Told:
    """The verdict in words, and the texts of the objectives that deviated; both empty without a verdict."""

    sentence: str
    deviated: tuple[str, ...]


def told(results: Path) -> Told:
    """Of the one run below this folder."""
    verdicts = list(results.glob("*/verdict.json"))
    if not verdicts:
        return Told("", ())
    verdict = json.loads(verdicts[0].read_text())
    deviated = (item["text"] for item in verdict["findings"] if item["outcome"] == "DEVIATED")
    return Told(f"{verdict['sentence']} {verdict['trust']['reasons']}", tuple(deviated))
