"""What readings prove of a fault on what a process needs."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.base import Reading
from chaos_locust.backends.resources.descriptors import free_below, limit_with_spare
from chaos_locust.backends.resources.effect import resources_effect
from chaos_locust.faults.base import Fault
from chaos_locust.faults.resources import (
    CpuPressure,
    CpuThrottle,
    FileDescriptors,
    MemoryLeak,
    MemoryLimit,
    MemoryPressure,
)

COMMON: dict[str, Any] = {"name": "it", "target": "web", "at": "1s", "for": "10s"}
THROTTLE = CpuThrottle(**COMMON, limit="20%")
PRESSURE = CpuPressure(**COMMON, share="50%")
FILL = MemoryPressure(**COMMON, size="100MB")
LEAK = MemoryLeak(**COMMON, rate="10MB/s", limit="100MB")
CAP = MemoryLimit(**COMMON, spare="50MB")
FILES = FileDescriptors(**COMMON, spare=3)


def reading(at_s: float = 0.0, **changes: Any) -> Reading:
    base = {
        "at_s": at_s,
        "pid": 7,
        "state": "S",
        "ports": [80],
        "received": int(at_s * 100),
        "connections": 0,
    }
    return base | {"own": (0, 0), "link": None, "cpu_s": at_s * 0.2, "error": ""} | changes


def proved(fault: Fault, *during: Reading, before: Reading | None = None) -> bool | None:
    return resources_effect(fault, [before] if before else [], during).mechanism


def throttled(at_s: float, times: int | None, cpu_s: float) -> Reading:
    return reading(at_s, throttled=times, periods=int(at_s * 10), cpu_s=cpu_s)


def test_a_throttle_is_proved_by_what_the_kernel_counts_and_by_what_is_used() -> None:
    during = [throttled(0.0, 0, 1.0), throttled(4.0, 38, 1.8)]
    effect = resources_effect(THROTTLE, [], during)
    assert (effect.mechanism, effect.use) == (True, True)
    assert effect.detail == (
        "held back in 38 of 40 periods of 100 ms, used 20% of a core where 20% are allowed, "
        "400 bytes and 0 new connections of the load on port 80 meanwhile"
    )
    assert proved(THROTTLE, throttled(0.0, 1, 1.0), throttled(4.0, 38, 3.0)) is False, "it used 50%"
    assert proved(THROTTLE, throttled(0.0, 0, 1.0), throttled(4.0, 0, 1.1)) is False, "never met"
    assert proved(THROTTLE, throttled(0.0, None, 1.0)) is False, "no cgroup"
    assert proved(THROTTLE) is None


def test_a_process_without_ports_is_used_when_its_cpu_time_grows() -> None:
    idle = [throttled(0.0, 0, 1.0) | {"ports": []}, throttled(4.0, 3, 1.0) | {"ports": []}]
    busy = [idle[0], idle[1] | {"cpu_s": 1.8}]
    assert resources_effect(THROTTLE, [], idle).use is False
    effect = resources_effect(THROTTLE, [], busy)
    assert effect.use is True
    assert "no TCP port of its own, 0.80 s of CPU time" in effect.detail
    unreadable = [each | {"error": "the open files cannot be read"} for each in busy]
    assert resources_effect(THROTTLE, [], unreadable).use is None


@pytest.mark.parametrize(
    ("burned", "busy", "expected"),
    [
        (0.5, 0.6, True),
        (0.3, 0.6, False),
        (0.3, 1.0, True),  # the target and we want more than there is
        (0.05, 1.0, False),  # others are busy, not we
    ],
)
def test_cores_are_busy_by_us(burned: float, busy: float, expected: bool) -> None:
    def look(at_s: float) -> Reading:
        return reading(at_s, cores=[0, 1], burned_s=burned * 2 * at_s, busy_s=busy * 2 * at_s)

    assert proved(PRESSURE, look(0.0), look(3.0)) is expected


def test_cores_that_were_looked_at_too_shortly_or_whose_burners_died() -> None:
    look = reading(0.0, cores=[0], burned_s=0.0, busy_s=0.0)
    assert proved(PRESSURE, look, look | {"at_s": 0.5}) is None
    assert proved(PRESSURE, look | {"burned_s": None}) is False


def memory(held: int | None, due: int) -> Reading:
    return reading(1.0, held=held, due=due, used=0.8, where="of the machine")


def test_memory_is_held() -> None:
    assert proved(FILL, memory(99_000_000, 100_000_000)) is True
    assert proved(FILL, memory(60_000_000, 100_000_000)) is False, "swapped out, or not taken"
    assert proved(FILL, memory(None, 100_000_000)) is False
    assert proved(LEAK, memory(0, 0)) is None
    assert proved(LEAK, memory(10_000_000, 20_000_000)) is False


def cap(met: int | None, ended: int = 0, limit: int | None = 50_000_000) -> Reading:
    return reading(1.0, limit=limit, used=40_000_000, met=met, ended=ended)


def test_a_limit_is_proved_by_being_met() -> None:
    assert proved(CAP, cap(3, 1), before=cap(None, limit=None)) is True
    assert proved(CAP, cap(0)) is False
    assert proved(CAP, cap(5), before=cap(5)) is False, "it was met before, by a limit of others"
    assert proved(CAP, cap(None, limit=None)) is False


def test_descriptors_are_used_up() -> None:
    assert proved(FILES, reading(limits=[(7, 10, 10, 2), (8, 10, 10, 0)])) is True
    assert proved(FILES, reading(limits=[(7, 10, 10, 2)])) is None, "it may have been met between two looks"
    assert proved(FILES, reading(limits=[(7, 1024, 10, 0)])) is False, "the limit is not ours"
    assert proved(FILES, reading(limits=[])) is False


@pytest.mark.parametrize(
    ("used", "spare", "limit"), [({0, 1, 2}, 3, 6), ({0, 1, 5}, 3, 5), (set[int](), 1, 1), ({0, 1, 3}, 0, 2)]
)
def test_a_spare_counts_the_free_numbers(used: set[int], spare: int, limit: int) -> None:
    """A new descriptor gets the lowest free number, and fails where that is not below the limit."""
    assert limit_with_spare(used, spare) == limit
    assert free_below(used, limit) == spare


def test_a_memory_limit_whose_process_went_with_its_cgroup_is_neither_met_nor_not() -> None:
    """The kernel may have ended it for its limit just then; whoever reaps it takes the figures away."""
    figures = {"limit": 60_000_000, "used": 20_000_000, "met": 0, "ended": 0}
    gone = {"limit": None, "used": None, "met": None, "ended": None}
    assert proved(CAP, reading(0.0, **figures), reading(1.0, **figures)) is False
    assert proved(CAP, reading(0.0, **figures), reading(1.0, **gone)) is None
    assert proved(CAP, reading(0.0, **figures | {"met": 3}), reading(1.0, **gone)) is True
