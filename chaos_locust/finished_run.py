"""Runs of a plan in a process of their own, and what came out of them."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from chaos_locust.errors import ChaosError, DirtyTarget
from chaos_locust.events import Recording
from chaos_locust.journal import read_journal
from chaos_locust.judge.verdict import EXIT_CODES, EXIT_DIRTY
from chaos_locust.plan.model import Plan

_PROGRAM = "from chaos_locust.cli import main; main()"


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """folder: its journal and reports. verdict: the content of `verdict.json`."""

    folder: Path
    verdict: Mapping[str, Any]

    def recording(self) -> Recording:
        return read_journal(self.folder)


def run_to_end(plan: Plan, name: str, results: Path | str) -> FinishedRun:
    """`chaos-locust run`, silently. Its folder is made in a new one in `results`, named after `name`.

    Raises ChaosError when the run could not start or crashed, DirtyTarget when a fault could not be undone.
    """
    Path(results).mkdir(parents=True, exist_ok=True)
    runs = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=results))
    with _command(plan, runs) as command:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (*EXIT_CODES.values(), EXIT_DIRTY):
        told = [line for line in done.stderr.splitlines() if line.startswith("chaos-locust: ")]
        text = "\n".join(told) or f"it ended with {done.returncode}:\n{done.stderr}"
        raise ChaosError(f"{name} could not be run:\n{text}")
    (folder,) = runs.iterdir()
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    if done.returncode == EXIT_DIRTY:
        raise DirtyTarget(f"{verdict['sentence']} ({folder})")
    return FinishedRun(folder, verdict)


def run_in_sight(plan: Plan, results: Path, workers: int) -> int:
    """`chaos-locust run` with our own output; its exit code. Signals that end us end it."""
    with _command(plan, results) as command:
        # in a group of its own, so that what the terminal sends comes to it once, from us
        process = subprocess.Popen(
            [*command, "--workers", str(workers)], stdin=subprocess.DEVNULL, process_group=0
        )

        def pass_on(number: int, frame: FrameType | None) -> None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

        before = {
            each: signal.signal(each, pass_on) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _command(plan: Plan, results: Path) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory(prefix="chaos-locust-") as home:
        document = Path(home) / "plan.json"  # with its secrets, so not among the results
        document.write_text(json.dumps(plan.to_json()), encoding="utf-8")
        yield [sys.executable, "-c", _PROGRAM, "run", str(document), "--results", str(results)]
