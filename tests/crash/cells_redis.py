"""Every fault on Redis, each on a server of its own, which tells its own client what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis

from tests.crash.cell import Case, Cell, NotHere
from tests.servers.redis import NoServer, Server, fill, server

KEYS = 60
TTL_S = 600
SETTINGS = ("maxmemory", "maxmemory-policy", "min-replicas-to-write", "min-replicas-max-lag")
Look = Callable[[Server], bool]


def value(number: int) -> str:
    return f"value {number} " * 20


def cell(kind: str, acting: Look, left: Callable[[Server], str], **parameters: Any) -> Cell:
    @contextmanager
    def make() -> Iterator[Case]:
        try:
            running = server("valkey")
            target = running.__enter__()
        except NoServer as error:
            raise NotHere(str(error)) from None
        try:
            fill(target, "session:{}", KEYS, value, TTL_S)
            before = {name: target.setting(name) for name in SETTINGS}

            def remains() -> str:
                if not target.answers():
                    return "the server does not answer"
                found = [*target.ours(), left(target)]
                for name, setting in before.items():
                    if (now := target.setting(name)) != setting:
                        found.append(f"{name} is {now} and was {setting}")
                return "; ".join(filter(None, found))

            yield Case(
                targets={"cache": {"redis": target.url}},
                fault={"kind": kind, "target": "cache", **parameters},
                acting=lambda: acting(target),
                left=remains,
            )
        finally:
            running.__exit__(None, None, None)

    return make


def nothing(_: Server) -> str:
    return ""


def slow(target: Server) -> bool:
    return target.ping_s() > 0.02


def refused(word: str) -> Look:
    def look(target: Server) -> bool:
        with target.client() as client:
            try:
                client.lpushx("no-such-list", "x")
            except redis.ResponseError as error:
                return word in f"{type(error).__name__} {error}"
        return False

    return look


def spoiled(target: Server) -> int:
    with target.client() as client:
        values = client.mget([f"session:{number}" for number in range(KEYS)])
    return sum(found != value(number).encode() for number, found in enumerate(values) if found is not None)


def nearer(target: Server) -> int:
    with target.client() as client:
        return sum(client.ttl(f"session:{number}") <= TTL_S / 2 for number in range(KEYS))


def gone(target: Server) -> bool:
    with target.client() as client:
        return not client.exists("session:1")


def cut(target: Server) -> bool:
    """Whether a connection that waits is closed."""
    with target.client(1.0) as client, client.client() as waiting:
        try:
            waiting.blpop(["no-such-list"], timeout=1)
        except redis.ConnectionError:
            return True
        except redis.RedisError:
            return False
    return False


def told(count: int, what: str) -> str:
    return f"{count} keys {what}" if count else ""


CELLS: dict[str, Cell] = {
    "redis_pause": cell("redis_pause", lambda target: not target.answers(0.2), nothing),
    "redis_slow": cell(
        "redis_slow", slow, lambda target: "the server is slow" if slow(target) else "", delay="100ms"
    ),
    "redis_flush": cell("redis_flush", gone, nothing),
    "redis_evict": cell(
        "redis_evict", lambda target: target.setting("maxmemory") != "0", nothing, share="50%"
    ),
    "redis_expire": cell(
        "redis_expire",
        lambda target: nearer(target) > 0,
        lambda target: told(nearer(target), "expire early"),
        keys="session:*",
        ttl="60s",
    ),
    "redis_corrupt": cell(
        "redis_corrupt",
        lambda target: spoiled(target) > 0,
        lambda target: told(spoiled(target), "have another value"),
        keys="session:*",
    ),
    "redis_refuse_writes": cell("redis_refuse_writes", refused("NOREPLICAS"), nothing),
    "redis_out_of_memory": cell("redis_out_of_memory", refused("OutOfMemory"), nothing),
    "redis_disconnect": cell("redis_disconnect", cut, nothing, every="100ms"),
}
