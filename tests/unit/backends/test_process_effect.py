"""What readings of a process prove."""

from __future__ import annotations

from typing import Any

from chaos_locust.backends.base import Reading
from chaos_locust.backends.process.effect import process_effect
from chaos_locust.faults.process import Kill, Pause, RestartStorm

KILL = Kill(name="it", target="web", at="1s")
STORM = RestartStorm(name="it", target="web", at="1s", duration="9s", every="2s")
PAUSE = Pause(name="it", target="web", at="1s", duration="3s")


def reading(state: str | None, received: int = 0, connections: int = 0, **changes: Any) -> Reading:
    base = {"at_s": 0.0, "pid": 7, "state": state, "ports": [80] if state else [], "received": received}
    return base | {"connections": connections, "own": (0, 0), "link": None, "error": ""} | changes


def test_a_kill_is_proved_by_absence_and_by_use_before() -> None:
    effect = process_effect(KILL, [reading("S"), reading("S", 300, 2)], [reading(None)])
    assert (effect.mechanism, effect.use) == (True, True)
    assert effect.detail == (
        "process 7 is gone, 300 bytes and 2 new connections of the load on port 80 just before it"
    )
    assert process_effect(KILL, [reading("S"), reading("S")], [reading("R")]).mechanism is False
    assert process_effect(KILL, [reading("S"), reading("S")], [reading(None)]).use is False


def test_our_own_hellos_are_no_use() -> None:
    """They came through a proxy before the process, for another fault."""
    before = [reading("S"), reading("S", 16, 2, own=(16, 2))]
    assert process_effect(KILL, before, [reading(None)]).use is False


def test_a_pause() -> None:
    used = process_effect(PAUSE, [reading("S")], [reading("T", 10), reading("T", 90)])
    assert (used.mechanism, used.use) == (True, True)
    assert process_effect(PAUSE, [reading("S")], [reading("S", 10), reading("S", 90)]).mechanism is False


def test_a_process_without_ports_cannot_be_judged() -> None:
    silent = reading("S", ports=[])
    assert process_effect(KILL, [silent, silent], [reading(None)]).use is None


def test_a_storm_is_proved_by_a_second_kill() -> None:
    once = reading("S", at_s=1.0, killed=1)
    twice = process_effect(STORM, [], [once, reading(None, 90, ports=[80], at_s=3.0, killed=2)])
    assert (twice.mechanism, twice.use) == (True, True)
    assert twice.detail.startswith("killed 2 times and started anew 1 times, 90 bytes")
    assert process_effect(STORM, [], [once, once | {"at_s": 2.5}]).mechanism is None, "one was due"
    assert process_effect(STORM, [], [once, once | {"at_s": 9.0}]).mechanism is False
