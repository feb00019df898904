"""The process that reads the targets' own signals while a run goes on.

    python -m chaos_locust.signals.reader JOB

JOB is JSON: {cluster: as in a plan, targets: {name: its part of the cluster}, probes: {name: [probe]}}. Each
reading is a JSON line on its output: {epoch_s, probe, value, ok, detail}; one a second of each, and one more
at once whenever a value changes. It ends with its input.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from chaos_locust.backends.kubernetes.api import Kubernetes
from chaos_locust.errors import BackendError
from chaos_locust.plan.cluster import Cluster, KubernetesTarget
from chaos_locust.signals.watching import Watching

EVERY_S = 1.0

Reading = tuple[float | None, str]


class Reader:
    """output: where the lines go. clock: seconds of the epoch."""

    def __init__(self, job: Mapping[str, Any], output: TextIO, clock: Callable[[], float]) -> None:
        self._output, self._clock = output, clock
        self._lock = threading.Lock()
        self._told: dict[str, Reading] = {}
        self._probes: Mapping[str, list[str]] = job["probes"]
        self._watching: dict[str, Watching] = {}
        self._failed = ""
        try:
            cluster = Kubernetes(Cluster(**job["cluster"]))
            for name in self._probes:
                target = KubernetesTarget(**job["targets"][name])
                self._watching[name] = Watching(cluster, target, self._probes[name], self.tell_changes)
        except BackendError as error:
            self._failed = str(error)

    def start(self) -> None:
        for watching in self._watching.values():
            watching.start()

    def tell_changes(self) -> None:
        self._tell(changed=True)

    def tell_all(self) -> None:
        self._tell(changed=False)

    def _tell(self, changed: bool) -> None:
        with self._lock:
            for target, names in self._probes.items():
                for name in names:
                    self._tell_one(target, name, changed)
            self._output.flush()

    def _tell_one(self, target: str, name: str, changed: bool) -> None:
        probe, watching = f"{name}({target})", self._watching.get(target)
        reading = (None, self._failed) if watching is None else watching.read(name)
        if reading is None or (changed and self._told.get(probe) == reading):
            return
        self._told[probe] = reading
        value, detail = reading
        line = {"epoch_s": self._clock(), "probe": probe, "value": value, "ok": value is not None}
        self._output.write(json.dumps({**line, "detail": detail}) + "\n")


def main(job: Mapping[str, Any]) -> None:
    reader = Reader(job, sys.stdout, time.time)
    reader.start()

    def tell() -> None:
        while True:
            time.sleep(EVERY_S)
            try:
                reader.tell_all()
            except BrokenPipeError:  # nobody listens any more
                return

    threading.Thread(target=tell, daemon=True).start()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
