"""What readings of a Redis server prove, and when they prove nothing."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.base import Reading
from chaos_locust.backends.redis.effect import redis_effect
from chaos_locust.backends.redis.server import counts_in, fields_of, shown
from chaos_locust.faults.base import Fault
from chaos_locust.faults.registry import KINDS


def fault(kind: str, **parameters: Any) -> Fault:
    lasting = {} if KINDS[kind].instant else {"for": "10s"}
    return KINDS[kind](name="it", target="cache", at="1s", **lasting, **parameters)


def reading(at_s: float, **seen: Any) -> Reading:
    empty = dict.fromkeys(("answered", "ping_s", "refused", "calls", "own", "counts", "samples"))
    return {"at_s": at_s, "error": "", "done": 0, **empty, **seen}


def called(at_s: float, calls: int, own: int, **seen: Any) -> Reading:
    """GETs so far, and those that were ours; beside them what monitors say."""
    return reading(at_s, calls={"get": [calls, 0], "info": [int(at_s) * 9, 0]}, own={"get": own}, **seen)


@pytest.mark.parametrize(("mine", "use"), [(10, True), (40, False)])
def test_own_calls_are_no_use(mine: int, use: bool) -> None:
    readings = [called(1, 100, 5), called(2, 120, 5 + mine // 2, done=3), called(3, 140, 5 + mine, done=3)]
    effect = redis_effect(fault("redis_corrupt", keys="a*"), readings[:1], readings[1:])
    assert (effect.mechanism, effect.use) == (True, use), effect


def test_nothing_to_do_it_to() -> None:
    readings = [called(1, 100, 5), called(2, 120, 5), called(3, 140, 5)]
    effect = redis_effect(fault("redis_corrupt", keys="a*"), readings[:1], readings[1:])
    assert (effect.mechanism, effect.use) == (False, True)
    assert "0 values spoiled" in effect.detail


def samples(received: int, own_before: int, own_after: int, replicas: int) -> list[Reading]:
    first = {"at_s": 1.0, "bytes": 1000, "own": (own_before, own_before + 50), "replicas": 0}
    last = {"at_s": 3.0, "bytes": 1000 + received, "own": (own_after - 50, own_after), "replicas": replicas}
    return [first, last]


@pytest.mark.parametrize(
    ("received", "replicas", "use"), [(500, 0, True), (300, 0, False), (500, 1, False), (1500, 1, True)]
)
def test_bytes_of_a_paused_server(received: int, replicas: int, use: bool) -> None:
    seen = reading(2, answered=False, samples=samples(received, 100, 400, replicas))
    effect = redis_effect(fault("redis_pause"), [], [seen])
    assert (effect.mechanism, effect.use) == (True, use), effect


def test_a_pause_with_answers_is_none() -> None:
    during = [reading(at, answered=at == 1, samples=None) for at in range(3)]
    assert redis_effect(fault("redis_pause"), [], during).mechanism is True
    during = [reading(at, answered=at != 1, samples=None) for at in range(3)]
    effect = redis_effect(fault("redis_pause"), [], during)
    assert (effect.mechanism, effect.use) == (False, None)


@pytest.mark.parametrize(("ping_s", "acts"), [(0.030, True), (0.020, False)])
def test_slow_by_a_quarter_of_the_delay(ping_s: float, acts: bool) -> None:
    before, during = [reading(1, ping_s=[0.001] * 5)], [reading(2, ping_s=[ping_s] * 5)]
    assert redis_effect(fault("redis_slow", delay="100ms"), before, during).mechanism is acts


def test_slow_without_an_answer_is_not_known() -> None:
    before, during = [reading(1, ping_s=[0.001])], [reading(2, error="it does not answer")]
    effect = redis_effect(fault("redis_slow", delay="100ms"), before, during)
    assert effect.mechanism is None
    assert "it does not answer" in effect.detail


@pytest.mark.parametrize(
    ("gets", "watched", "received", "use"),
    [(1, 5, 300, True), (0, 0, 500, True), (0, 0, 300, False), (0, 5, 300, False), (0, 5, 500, None)],
)
def test_commands_that_a_slow_server_dropped(
    gets: int, watched: int, received: int, use: bool | None
) -> None:
    """Their clients gave up first. Bytes alone tell of the load only where nobody watches the server."""
    first = reading(1, ping_s=[0.001], calls={"get": [7, 0], "info": [3, 0]}, own={"info": 3})
    calls = {"get": [7 + gets, 0], "info": [4 + watched, 0], "hello": [2, 0]}
    last = reading(3, ping_s=[0.3], calls=calls, own={"info": 4}, samples=samples(received, 100, 400, 0))
    assert redis_effect(fault("redis_slow", delay="300ms"), [first], [last]).use is use


@pytest.mark.parametrize(
    ("kind", "word", "rejected", "expected"),
    [
        ("redis_refuse_writes", "NOREPLICAS", 10, (True, True)),
        ("redis_refuse_writes", "NOREPLICAS", 2, (True, False)),
        ("redis_refuse_writes", "", 10, (False, True)),
        ("redis_out_of_memory", "OOM", 10, (True, True)),
        ("redis_out_of_memory", "NOREPLICAS", 2, (False, False)),
    ],
)
def test_refused_writes(kind: str, word: str, rejected: int, expected: tuple[bool, bool]) -> None:
    first = reading(1, refused="", calls={"set": [5, 0]}, own={"lpushx": 1})
    during = [
        reading(2, refused=word, error="no INFO"),
        reading(3, refused=word, calls={"set": [5, rejected - 2], "lpushx": [1, 2]}, own={"lpushx": 3}),
    ]
    effect = redis_effect(fault(kind), [first], during)
    assert (effect.mechanism, effect.use) == expected, effect


def test_evicted() -> None:
    readings = [called(at, at * 10, 0, counts={"evicted_keys": 7 + max(0, at - 1)}) for at in (1, 2, 3)]
    effect = redis_effect(fault("redis_evict"), readings[:1], readings[1:])
    assert (effect.mechanism, effect.use) == (True, True)
    assert "2 keys evicted" in effect.detail


def test_over_before_it_was_looked_at() -> None:
    effect = redis_effect(fault("redis_evict"), [called(1, 1, 0)], [])
    assert (effect.mechanism, effect.use) == (None, None)


def test_reading_what_a_server_says() -> None:
    counts = b"calls=3,usec=4,usec_per_call=1.33,rejected_calls=2"
    info = b"# Stats\r\ncmdstat_client|list:" + counts + b"\r\nrole:master\r\n"
    fields = fields_of(info)
    assert fields["role"] == "master"
    assert counts_in(fields["cmdstat_client|list"]) == {"calls": 3, "usec": 4, "rejected_calls": 2}


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://user:secret@host:1/2?password=secret", "redis://host:1/2"),
        ("rediss://:secret@[::1]", "rediss://[::1]:6379"),
    ],
)
def test_no_secret_in_what_is_shown(url: str, text: str) -> None:
    assert shown(url) == text
