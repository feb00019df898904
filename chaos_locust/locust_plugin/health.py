"""Can this process be trusted as a load generator: its CPU, the machine's steal, its loop's lateness."""

from __future__ import annotations

import time
from typing import Any

import gevent
import psutil

TICK_S = 0.02


class Health:
    """`watch` runs in a greenlet of its own; `sample` tells of the time since the last one."""

    def __init__(self) -> None:
        self._lateness_s = 0.0
        self._at_s = time.monotonic()
        self._process_s = time.process_time()
        self._machine = psutil.cpu_times()

    def watch(self) -> None:
        """Wakes up every 20 ms and notes how much too late that was. Never returns."""
        while True:
            due_s = time.monotonic() + TICK_S
            gevent.sleep(TICK_S)
            self._lateness_s = max(self._lateness_s, time.monotonic() - due_s)

    def sample(self) -> dict[str, Any]:
        """cpu_share of one core, steal_share of the machine, loop_lateness_s: the longest standstill."""
        at_s, process_s, machine = time.monotonic(), time.process_time(), psutil.cpu_times()
        passed_s = max(1e-9, at_s - self._at_s)
        machine_s = max(1e-9, sum(machine) - sum(self._machine))
        stolen_s = getattr(machine, "steal", 0.0) - getattr(self._machine, "steal", 0.0)
        sample = {
            "cpu_share": min(1.0, (process_s - self._process_s) / passed_s),
            "steal_share": min(1.0, max(0.0, stolen_s / machine_s)),
            "loop_lateness_s": self._lateness_s,
        }
        self._at_s, self._process_s, self._machine, self._lateness_s = at_s, process_s, machine, 0.0
        return sample
