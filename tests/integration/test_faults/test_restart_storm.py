"""A supervised server that is killed whenever it has been started anew."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from chaos_locust.backends.base import Reading
from chaos_locust.backends.registry import Backends
from chaos_locust.plan.model import Plan
from tests.servers.hungry import Hungry, hungry, until

LIMIT_S = 30.0


@pytest.fixture
def server() -> Iterator[Hungry]:
    with hungry(supervised=True) as found:
        yield found


class Storm:
    """It, as the guardian does it: adjusted and looked at twice a second."""

    def __init__(self, server: Hungry, **parameters: Any) -> None:
        fault = {
            "name": "it",
            "kind": "restart_storm",
            "target": "web",
            "at": "1s",
            "for": "60s",
            **parameters,
        }
        targets = {"web": {"pidfile": str(server.pidfile)}}
        plan = Plan.from_json({"name": "p", "targets": targets, "faults": [fault]})
        self.fault, self.backend = plan.faults[0], Backends().named("process")
        assert self.backend.preflight(plan, self.fault, plan.targets["web"]) == []
        self.undo = self.backend.prepare("r1", plan, self.fault, plan.targets["web"])
        self.before = [self.backend.observe(self.fault, self.undo)]
        self.readings: list[Reading] = []
        self.server, self.pids = server, [server.pid]

    def begin(self) -> None:
        self.backend.inject(self.fault, self.undo)
        self.begun_s = time.monotonic()

    def step(self) -> None:
        time.sleep(0.25)
        self.backend.adjust(self.fault, self.undo, time.monotonic() - self.begun_s)
        self.readings.append(self.backend.observe(self.fault, self.undo))
        if self.server.pid != self.pids[-1]:
            self.pids.append(self.server.pid)

    @property
    def killed(self) -> int:
        return int(self.readings[-1]["killed"]) if self.readings else 0

    def effect(self) -> Any:
        return self.backend.effect(self.fault, self.before, self.readings)


def test_it_is_killed_each_time_that_it_comes_back(server: Hungry) -> None:
    storm = Storm(server, every="500ms")
    storm.begin()
    while storm.killed < 3:
        storm.step()
        server.answers()
        assert time.monotonic() - storm.begun_s < LIMIT_S
    assert len(storm.pids) >= 3, "as many as were killed were started"
    effect = storm.effect()
    assert (effect.mechanism, effect.use) == (True, True), effect
    storm.backend.revert(storm.undo)
    storm.backend.revert(storm.undo)
    assert storm.backend.verify(storm.undo)
    until(server.answers, "it is started again, and stays")


def test_not_more_often_than_asked_for(server: Hungry) -> None:
    storm = Storm(server, every="500ms", times=2)
    storm.begin()
    while storm.killed < 2:
        storm.step()
        assert time.monotonic() - storm.begun_s < LIMIT_S
    until(server.answers, "it is started again")
    last = server.pid
    for _ in range(6):
        storm.step()
    assert (storm.killed, server.pid) == (2, last)


def test_without_a_supervisor_it_is_no_storm() -> None:
    """Nothing is killed but the first, though the pid file names a process that lives."""
    with hungry() as server, hungry() as stranger:
        storm = Storm(server, every="500ms")
        storm.begin()
        server.pidfile.write_text(str(stranger.pid))
        for _ in range(14):
            storm.step()
        effect = storm.effect()
        assert effect.mechanism is False, effect
        assert effect.detail.startswith("killed 1 times and started anew 0 times")
        assert stranger.answers(), "it is another program: its arguments are others"
