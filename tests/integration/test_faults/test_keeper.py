"""A fault whose injection takes a while is watched from before it until its end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaos_locust.backends.base import Effect, Reading, Undo
from chaos_locust.leases.held import Held, myself
from chaos_locust.leases.keeper import Keeper
from chaos_locust.leases.pulse import Pulse
from chaos_locust.leases.store import LeaseStore
from chaos_locust.plan.model import Plan

LIMIT_S = 20.0


class SlowToInject:
    """Its injection takes until it was looked at twice meanwhile."""

    name = "slow"

    def __init__(self) -> None:
        self.looks: queue.Queue[None] = queue.Queue()
        self.acts = False

    def prepare(self, *_: Any) -> Undo:
        return {"backend": self.name}

    def inject(self, fault: Any, undo: Undo) -> None:
        while not self.looks.empty():
            self.looks.get()
        for _ in range(2):
            self.looks.get(timeout=LIMIT_S)
        self.acts = True

    def observe(self, fault: Any, undo: Undo) -> Reading:
        self.looks.put(None)
        return {"acts": self.acts}

    def effect(self, fault: Any, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        seen = bool(during) and all(reading["acts"] for reading in during)
        return Effect(seen, seen, f"{len(before)} before, {len(during)} during")

    def revert(self, undo: Undo) -> None:
        self.acts = False

    def verify(self, undo: Undo) -> bool:
        return not self.acts

    def describe(self, undo: Undo) -> str:
        return "a slow one"


def test_it_is_looked_at_after_a_slow_injection(tmp_path: Path) -> None:
    fault = {"name": "it", "kind": "pause", "target": "t", "at": "1s", "for": "5s"}
    plan = Plan.from_json({"name": "p", "targets": {"t": {"pidfile": "/run/t.pid"}}, "faults": [fault]})
    told: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
    backend: Any = SlowToInject()
    held = Held(LeaseStore(tmp_path), "r1", "fault.it", myself())
    keeper = Keeper(
        "r1", plan, plan.faults[0], backend, held, Pulse(20.0), lambda event, **more: told.put((event, more)),
        lambda *_: None,
    )  # fmt: skip
    watching = threading.Thread(target=keeper.observe, daemon=True)
    watching.start()
    backend.looks.get(timeout=LIMIT_S)
    keeper.inject(LIMIT_S)
    events = []
    while not events or events[-1][0] != "effect":
        events.append(told.get(timeout=LIMIT_S))
    assert [event for event, _ in events] == ["asked", "active", "effect"]
    assert (events[-1][1]["mechanism"], events[-1][1]["use"]) == (True, True), events[-1]
    keeper.revert()
    assert keeper.phase == "over"
    watching.join(LIMIT_S)
    assert not watching.is_alive()
