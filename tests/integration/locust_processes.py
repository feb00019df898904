"""The real `locust` command with a plan: local, or a master with workers, in processes of their own.

Nothing of our code is used here but the path of its locustfile: what is told of a run is what a user sees,
which is exit codes, output and the reports.
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import chaos_locust

PLAIN = Path(chaos_locust.__file__).parent / "locust_plugin" / "plain.py"


@dataclass(frozen=True)
class LocustsOwn:
    """Locust's view of a run: it knows only requests that have ended, and times from their sending."""

    requests: int
    failures: int
    p99_s: float | None


class Locust:
    """Locust's processes for the time of a `with` block; `wait` waits for the end of the one that judges.

    folder: for all that they write. plan: as it would be written in YAML. workers: the locustfile of each
    worker, none: one local process. environ: variables beside our own.
    """

    def __init__(
        self,
        folder: Path,
        plan: Mapping[str, Any],
        locustfile: Path = PLAIN,
        workers: Sequence[Path] = (),
        options: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        plan_file = folder / "plan.yaml"
        plan_file.write_text(json.dumps(plan))
        self._environ = {k: v for k, v in os.environ.items() if k != "LOCUST_SKIP_MONKEY_PATCH"}
        self._environ |= environ or {}
        self._port = str(_free_port())
        self._master = ["-f", str(locustfile), "--headless", "--only-summary", "--chaos-plan", str(plan_file)]
        self._master += ["--chaos-results", str(folder / "results"), "--json-file", str(folder / "locust")]
        if workers:
            self._master += ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", self._port]
            self._master += ["--expect-workers", str(len(workers))]
        self._master += options
        self._worker_files = workers
        self.workers: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        self.process = self._start("output", self._master)
        for index, file in enumerate(self._worker_files):
            to_master = ["--worker", "--master-host", "127.0.0.1", "--master-port", self._port]
            self.workers.append(self._start(f"worker-{index}", ["-f", str(file), *to_master]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (self.process, *self.workers):
            process.kill()
            process.wait()
        if kind is not None:
            print(self.output())

    def wait(self, timeout_s: float = 90) -> int:
        """The exit code."""
        return self.process.wait(timeout_s)

    def output(self, process: str = "output") -> str:
        """What it has printed so far; of a worker: `worker-0`."""
        return (self.folder / process).read_text()

    @property
    def results(self) -> Path:
        """The folder of the one run."""
        (run,) = (self.folder / "results").iterdir()
        return run

    def verdict(self) -> dict[str, Any]:
        verdict: dict[str, Any] = json.loads((self.results / "verdict.json").read_text())
        return verdict

    def locusts_own(self) -> LocustsOwn:
        """The statistics that Locust itself has written, over all requests."""
        entries = json.loads((self.folder / "locust.json").read_text())
        times_ms = [
            float(ms) for entry in entries for ms, n in entry["response_times"].items() for _ in range(n)
        ]
        return LocustsOwn(
            sum(entry["num_requests"] for entry in entries),
            sum(entry["num_failures"] for entry in entries),
            quantile(times_ms, 0.99) / 1000 if times_ms else None,
        )

    def _start(self, name: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
        with (self.folder / name).open("w") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "locust", *arguments],
                stdout=output,
                stderr=output,
                env=self._environ,
                cwd=self.folder,
                text=True,
            )


def finding(verdict: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The one finding with this text."""
    (found,) = (each for each in verdict["findings"] if each["text"] == text)
    result: dict[str, Any] = found
    return result


def quantile(values: Sequence[float], q: float) -> float:
    """The value of rank ceil(q x n), by its definition."""
    return sorted(values)[math.ceil(q * len(values) - 1e-9) - 1]


def number(value: Any) -> float:
    """A number of verdict.json, which writes an infinite one as a word."""
    return float(value)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
