"""Targets on Redis, each as one would rightly build it there, for `--target redis://...`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from uuid import uuid4

from invariants.bindings import Bound
from invariants.targets import redis_concurrency
from invariants.targets.redis_client import RedisClient, RedisTarget

# A value that is not there is the empty text, which no number is.
_CAS = """
local found = redis.call('GET', KEYS[1]) or ''
if found ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1"""
_FILL = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1"""
_DRAIN = """
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  for _, message in ipairs(redis.call('LRANGE', key, 0, -1)) do found[#found + 1] = message end
  redis.call('DEL', key)
end
return found"""


@dataclass(repr=False)
class RedisQueue(RedisTarget):
    """A list; what is taken is moved to a list of the taker's own, and deleted there when it has arrived."""

    def connect(self, scope: str) -> RedisQueueClient:
        return RedisQueueClient(self, scope)


class RedisQueueClient(RedisClient):
    def __init__(self, target: RedisTarget, scope: str) -> None:
        super().__init__(target, scope)
        self.waiting = self.key("queue", "waiting")
        self.own = self.key("queue", "taken", uuid4().hex)

    def enqueue(self, message: int) -> None:
        self.do("RPUSH", self.waiting, message)

    def dequeue(self) -> int | None:
        message = self.do("LMOVE", self.waiting, self.own, "LEFT", "LEFT")
        if message is None:
            return None
        self.do("LREM", self.own, 1, message)
        return int(message)

    def drain(self) -> list[int]:
        """Also what those took who went before it had arrived."""
        return [int(message) for message in self.script(_DRAIN, [], self.key("queue", "*"))]


@dataclass(repr=False)
class RedisRegisters(RedisTarget):
    """Compare-and-set in a script, which is one step."""

    def connect(self, scope: str) -> RedisRegistersClient:
        return RedisRegistersClient(self, scope)


class RedisRegistersClient(RedisClient):
    def read(self, key: str) -> int | None:
        value = self.do("GET", self.key(key))
        return None if value is None else int(value)

    def write(self, key: str, value: int) -> None:
        self.do("SET", self.key(key), value)

    def cas(self, key: str, old: int | None, new: int) -> bool:
        return bool(self.script(_CAS, [self.key(key)], "" if old is None else old, new))


@dataclass(repr=False)
class RedisElements(RedisTarget):
    """A set."""

    def connect(self, scope: str) -> RedisElementsClient:
        return RedisElementsClient(self, scope)


class RedisElementsClient(RedisClient):
    def add(self, element: int) -> None:
        self.do("SADD", self.key("elements"), element)

    def read(self) -> list[int]:
        return [int(element) for element in self.do("SMEMBERS", self.key("elements"))]


@dataclass(repr=False)
class RedisCache(RedisTarget):
    """A cache beside an origin, both on this server. Who misses leaves a mark, and fills the cache only if
    the mark is still there: a write deletes it, so nothing older than the write comes in after it."""

    lasts_s: float = 10.0

    def connect(self, scope: str) -> RedisCacheClient:
        return RedisCacheClient(self, scope, self.lasts_s)


class RedisCacheClient(RedisClient):
    MARK: ClassVar[str] = "filling "

    def __init__(self, target: RedisTarget, scope: str, lasts_s: float) -> None:
        super().__init__(target, scope)
        self._lasts_ms = int(lasts_s * 1000)

    def read(self, key: str) -> int | None:
        cached, mark = self.do("GET", self.key("cache", key)), self.MARK + uuid4().hex
        if cached is not None and not cached.startswith(self.MARK):
            return int(cached)
        mine = self.do("SET", self.key("cache", key), mark, "NX", "PX", self._lasts_ms)
        value = self.do("GET", self.key("origin", key))
        if mine and value is not None:
            self.fill(key, mark, value)
        return None if value is None else int(value)

    def fill(self, key: str, mark: str, value: str) -> None:
        self.script(_FILL, [self.key("cache", key)], mark, value, self._lasts_ms)

    def write(self, key: str, value: int) -> None:
        self.do("SET", self.key("origin", key), value)
        self.invalidate(key)

    def invalidate(self, key: str) -> None:
        self.do("DEL", self.key("cache", key))


def bindings(url: str) -> Mapping[str, Bound]:
    """The invariants that a Redis server can be asked for. Raises InvalidUrl."""
    return {
        "queue_never_loses_messages": Bound(RedisQueue(url), concurrency=4),
        "registers_are_linearizable": Bound(RedisRegisters(url), concurrency=4),
        "elements_never_disappear": Bound(RedisElements(url), concurrency=4),
        "cache_stays_consistent": Bound(RedisCache(url), concurrency=4),
        "sessions_are_consistent": Bound(RedisRegisters(url), concurrency=4),
        **redis_concurrency.bindings(url),
    }
