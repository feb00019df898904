"""Reads what the targets tell of themselves while a run goes on, by a process beside the load."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chaos_locust.events import ProbeRead
from chaos_locust.plan.model import Plan

LOG_NAME = "signals.log"
LOOK_LIMIT_S = 15.0
END_LIMIT_S = 5.0


class Probing:
    """on_read: called for each reading, from a thread of its own, which Locust has made a greenlet. What goes
    wrong in the process is in `signals.log`; what it did not read is INCONCLUSIVE in the verdict."""

    def __init__(
        self,
        plan: Plan,
        probes: Mapping[str, tuple[str, ...]],
        folder: Path,
        on_read: Callable[[ProbeRead], None],
    ) -> None:
        self._plan, self._probes, self._folder, self._on_read = plan, probes, folder, on_read
        self._start_epoch_s: float | None = None
        self._unread = {f"{name}({target})" for target, names in probes.items() for name in names}
        self._opened = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def open(self) -> None:
        """Returns when everything has been looked at once: what is counted in the run, such as restarts, is
        what comes after that."""

        def data(part: Any) -> Any:
            return part.model_dump(mode="json", exclude_none=True)

        targets = {name: data(self._plan.targets[name].kubernetes) for name in self._probes}
        job = {"cluster": data(self._plan.kubernetes), "targets": targets, "probes": dict(self._probes)}
        with (self._folder / LOG_NAME).open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chaos_locust.signals.reader", json.dumps(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the run, which ends it in its own time
            )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        self._opened.wait(LOOK_LIMIT_S)

    def begin(self, start_epoch_s: float) -> None:
        """From now on it is told what is read."""
        self._start_epoch_s = start_epoch_s
        for probe in sorted(self._unread):
            why = "it had not been looked at when the run began"
            self._on_read(ProbeRead(0.0, probe, None, False, why))

    def end(self) -> None:
        """Returns when the last reading was told."""
        if self._process is None or self._process.stdin is None or self._reader is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(END_LIMIT_S)

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = json.loads(line)
            epoch_s = found.pop("epoch_s")
            self._unread.discard(found["probe"])
            if not self._unread:
                self._opened.set()
            if self._start_epoch_s is not None and epoch_s >= self._start_epoch_s:
                self._on_read(ProbeRead(epoch_s - self._start_epoch_s, **found))
        self._opened.set()  # it has ended by itself
