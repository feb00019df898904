"""One fault on one container, done as the guardian does it; and a load for the container."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from typing import Any

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.registry import Backends
from chaos_locust.faults.registry import KINDS
from chaos_locust.plan.model import Plan

LOOK_EVERY_S = 0.1


def until(condition: Callable[[], Any], what: str, timeout_s: float = 15.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


def answers(address: str) -> bool:
    connection = http.client.HTTPConnection(address, 80, timeout=0.5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read() == b"hello\n"
    except OSError:
        return False
    finally:
        connection.close()


class Load:
    """GETs all the time."""

    def __init__(self, address: str) -> None:
        self._over = threading.Event()
        self._address = address
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            answers(self._address)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


class Rig:
    """One fault on one container, done as the guardian does it."""

    def __init__(self, container: str, kind: str, **parameters: Any) -> None:
        lasting = {} if KINDS[kind].instant else {"for": "30s"}
        fault = {"name": "it", "kind": kind, "target": "web", "at": "1s", **lasting, **parameters}
        targets = {"web": {"container": container}}
        self.plan = Plan.from_json({"name": "p", "targets": targets, "faults": [fault]})
        self.fault, self.target = self.plan.faults[0], self.plan.targets["web"]
        self.backend = Backends().named("containers")

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.backend.preflight(self.plan, self.fault, self.target)]

    def look(self, times: int) -> list[Reading]:
        readings = []
        for _ in range(times):
            readings.append(self.backend.observe(self.fault, self.undo))
            time.sleep(LOOK_EVERY_S)
        return readings

    def inject(self, looked: int = 2) -> None:
        self.undo = self.backend.prepare("r1", self.plan, self.fault, self.target)
        self.before = self.look(looked)
        self.backend.inject(self.fault, self.undo)

    def effect(self, times: int = 2) -> Effect:
        return self.backend.effect(self.fault, self.before, self.look(times))

    def revert(self) -> None:
        """Twice: the second time must do no harm."""
        for _ in range(2):
            self.backend.revert(self.undo)
            assert self.backend.verify(self.undo)
