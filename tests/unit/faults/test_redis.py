"""What a Redis fault may say."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.errors import InvalidPlan
from chaos_locust.faults.base import Fault
from chaos_locust.faults.redis import FAULTS
from chaos_locust.faults.registry import KINDS, parse_fault


def make(kind: str, **parameters: Any) -> Fault:
    lasting = {} if KINDS[kind].instant else {"for": "10s"}
    data = {"kind": kind, "name": "it", "target": "cache", "at": "1s", **lasting, **parameters}
    fault = parse_fault(data, "")
    if isinstance(fault, list):
        raise InvalidPlan(fault)
    return fault


NEEDED: dict[str, dict[str, Any]] = {
    "redis_slow": {"delay": "50ms"},
    "redis_expire": {"keys": "session:*", "ttl": "1s"},
    "redis_corrupt": {"keys": "session:*"},
}


@pytest.mark.parametrize("kind", [fault.kind for fault in FAULTS])
def test_written_and_read_back(kind: str) -> None:
    fault = make(kind, **NEEDED.get(kind, {}))
    assert parse_fault(fault.to_json(), "") == fault
    assert fault.needs == ("redis",)


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("redis_pause", {"commands": "some"}, "commands: 'some' is not allowed; allowed: 'all', 'write'"),
        ("redis_slow", {}, "delay: is missing"),
        (
            "redis_slow",
            {"delay": "1500ms"},
            "delay: '1.5s' is not allowed; give 1s at most, or use redis_pause",
        ),
        ("redis_slow", {"delay": 50}, "delay: '50' is a bare number"),
        ("redis_flush", {"for": "1s"}, "for: a redis_flush happens at once"),
        ("redis_flush", {"keys": ""}, "keys: '' is no key or pattern"),
        ("redis_flush", {"keys": "chaos-*"}, "keys: 'chaos-*' are keys of ours"),
        ("redis_evict", {"share": "0%"}, "share: '0%' is not allowed"),
        ("redis_expire", {"ttl": "1s"}, "keys: is missing"),
        ("redis_expire", {"keys": "a", "ttl": "0s"}, "ttl: '0' is not allowed; give more than zero"),
        ("redis_corrupt", {"keys": "a", "count": 0}, "count: '0' is not allowed"),
        ("redis_corrupt", {"keys": "a", "count": 10_001}, "count: '10001' is not allowed"),
        ("redis_disconnect", {"every": "50ms"}, "every: '50ms' is not allowed; give 100ms at least"),
    ],
)
def test_refused(kind: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidPlan) as raised:
        make(kind, **parameters)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("redis_pause", "redis_slow", "while it is paused"),
        ("redis_pause", "redis_flush", "while it is paused"),
        ("redis_refuse_writes", "redis_corrupt", "writes are refused"),
        ("redis_out_of_memory", "redis_flush", "writes are refused"),
        ("redis_evict", "redis_out_of_memory", "both change maxmemory"),
        ("redis_slow", "redis_slow", "both are redis_slow"),
        ("redis_slow", "redis_corrupt", ""),
        ("redis_evict", "redis_expire", ""),
    ],
)
def test_together(one: str, other: str, reason: str) -> None:
    first, second = (make(kind, **NEEDED.get(kind, {})) for kind in (one, other))
    told = first.clashes_with(second) or second.clashes_with(first)
    assert reason in told if reason else told == ""


def test_paused_writing_leaves_reading_to_others() -> None:
    paused = make("redis_pause", commands="write")
    assert paused.clashes_with(make("redis_disconnect")) == ""
    assert "writes" in paused.clashes_with(make("redis_flush"))
