"""Faults on a process and on what it needs, as data: what is refused, and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaos_locust.errors import InvalidPlan
from chaos_locust.faults.process import Pause, RestartStorm
from chaos_locust.faults.registry import KINDS, parse_fault
from chaos_locust.faults.resources import (
    CpuPressure,
    CpuThrottle,
    FileDescriptors,
    MemoryLeak,
    MemoryPressure,
)

COMMON: dict[str, Any] = {"name": "it", "target": "web", "at": "1s", "for": "10s"}
GOOD: dict[str, dict[str, Any]] = {
    "restart_storm": {"every": "2s", "signal": "SIGTERM", "times": 5},
    "cpu_throttle": {"limit": "20%"},
    "cpu_pressure": {"share": "80%", "cores": 1},
    "memory_pressure": {"level": "80%"},
    "memory_leak": {"rate": "10MB/s", "limit": "512MB"},
    "memory_limit": {"spare": "64MB"},
    "file_descriptors": {"spare": 0},
}


def told(kind: str, **changes: Any) -> list[str]:
    data = {**COMMON, "kind": kind, **GOOD[kind], **changes}
    found = parse_fault({key: value for key, value in data.items() if value is not None}, "faults[0]")
    return [str(problem) for problem in found] if isinstance(found, list) else []


@pytest.mark.parametrize("kind", GOOD)
def test_they_read_back_as_they_were(kind: str) -> None:
    fault = parse_fault({**COMMON, "kind": kind, **GOOD[kind]}, "faults[0]")
    assert isinstance(fault, KINDS[kind])
    assert fault.needs == ("pidfile",)
    assert parse_fault(json.loads(json.dumps(fault.to_json())), "x") == fault


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("restart_storm", {"every": "100ms"}, "every: '100ms' is not allowed; give 500ms at least"),
        ("restart_storm", {"every": "10s"}, "every: '10s' is not allowed; give less than for"),
        ("restart_storm", {"times": 1}, "times: '1' is not allowed"),
        ("cpu_throttle", {"limit": "0%"}, "limit: '0%' is not allowed"),
        ("cpu_throttle", {"limit": "0.5%"}, "limit: '0.5%' is not allowed; give 1% to 100%"),
        ("cpu_throttle", {"limit": "101%"}, "limit: '101%' is no share"),
        ("cpu_throttle", {"limit": None}, "limit: is missing"),
        ("cpu_pressure", {"share": "200%"}, "share: '200%' is no share"),
        ("cpu_pressure", {"cores": 0}, "cores: '0' is not allowed"),
        ("memory_pressure", {"level": "100%"}, "level: '100%' is not allowed; give less than 100%"),
        ("memory_pressure", {"size": "1MB"}, "level: both are given; give level or size"),
        ("memory_pressure", {"level": None}, "level: neither is given; give level or size"),
        ("memory_leak", {"rate": "10MB"}, "rate: '10MB' is no rate of bytes"),
        ("memory_limit", {"spare": 64}, "spare: '64' is a bare number"),
        ("file_descriptors", {"limit": 10}, "limit: both are given; give limit or spare"),
        ("file_descriptors", {"spare": -1}, "spare: '-1' is not allowed"),
        ("file_descriptors", {"for": None}, "for: is missing"),
    ],
)
def test_what_is_refused(kind: str, changes: dict[str, Any], words: str) -> None:
    (problem,) = told(kind, **changes)
    assert problem.startswith(f"faults[0].{words}")


def test_units_of_the_fields() -> None:
    storm = RestartStorm(**COMMON, every="2s")
    assert (storm.every_s, storm.times, storm.signal) == (2.0, 100, "KILL")
    leak = MemoryLeak(**COMMON, rate="10MB/s", limit="1GiB")
    assert (leak.rate_bytes_per_s, leak.limit_bytes) == (10_000_000, 1024**3)
    assert MemoryPressure(**COMMON, size_bytes=5).size_bytes == 5
    with pytest.raises(InvalidPlan, match="both are given"):
        MemoryPressure(**COMMON, size_bytes=5, level="10%")


def test_what_cannot_act_together() -> None:
    storm = RestartStorm(**COMMON, every="2s")
    pause, throttle = Pause(**COMMON), CpuThrottle(**COMMON, limit="20%")
    assert "cannot be paused" in storm.clashes_with(pause)
    assert "the restart_storm replaces it" in throttle.clashes_with(storm)
    assert throttle.clashes_with(throttle) == "both are cpu_throttle"
    assert throttle.clashes_with(CpuPressure(**COMMON, share="50%")) == ""
    assert FileDescriptors(**COMMON, limit=10).clashes_with(pause) == ""
