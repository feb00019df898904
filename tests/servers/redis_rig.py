"""One fault on one Redis server, done as the guardian does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.registry import Backends
from chaos_locust.faults.registry import KINDS
from chaos_locust.plan.model import Plan

from .redis import NoServer, Server, server

LOOK_EVERY_S = 0.05


def until(condition: Callable[[], Any], what: str, timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)


class Rig:
    """One fault on one server, done as the guardian does it."""

    def __init__(self, url: str, kind: str, run_id: str = "r1", **parameters: Any) -> None:
        lasting = {} if KINDS[kind].instant else {"for": "30s"}
        fault = {"name": "it", "kind": kind, "target": "cache", "at": "1s", **lasting, **parameters}
        self.plan = Plan.from_json({"name": "p", "targets": {"cache": {"redis": url}}, "faults": [fault]})
        self.fault, self.target = self.plan.faults[0], self.plan.targets["cache"]
        self.run_id, self.backend = run_id, Backends().named("redis")
        self.before: list[Reading] = []
        self.during: list[Reading] = []

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.backend.preflight(self.plan, self.fault, self.target)]

    def look(self, times: int) -> list[Reading]:
        readings = []
        for _ in range(times):
            readings.append(self.backend.observe(self.fault, self.undo))
            time.sleep(LOOK_EVERY_S)
        return readings

    def inject(self) -> None:
        self.undo = self.backend.prepare(self.run_id, self.plan, self.fault, self.target)
        self.before = self.look(2)
        self.backend.inject(self.fault, self.undo)

    def effect(self, times: int = 4) -> Effect:
        self.during += self.look(times)
        return self.backend.effect(self.fault, self.before, self.during)

    def revert(self) -> None:
        """Twice: the second time must do no harm."""
        self.backend.revert(self.undo)
        assert self.backend.verify(self.undo)
        self.backend.revert(self.undo)
        assert self.backend.verify(self.undo)


@contextmanager
def running(kind: str, *options: str, **more: Any) -> Iterator[Server]:
    try:
        with server(kind, *options, **more) as target:
            yield target
    except NoServer as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that run at the same time have the same names for their faults."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
