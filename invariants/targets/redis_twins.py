"""Targets on Redis with one planted defect each, as real programs have them."""

from __future__ import annotations

from dataclasses import dataclass

from invariants.targets import redis


@dataclass(repr=False)
class UnlockedQueue(redis.RedisQueue):
    """Looks at the first message and deletes it then: two who look at the same time take the same."""

    def connect(self, scope: str) -> UnlockedQueueClient:
        return UnlockedQueueClient(self, scope)


class UnlockedQueueClient(redis.RedisQueueClient):
    def dequeue(self) -> int | None:
        message = self.do("LINDEX", self.waiting, 0)
        if message is None:
            return None
        self.do("LREM", self.waiting, 1, message)
        return int(message)


@dataclass(repr=False)
class ForgetfulQueue(redis.RedisQueue):
    """Takes two messages at a time, and forgets the second one when its connection is closed."""

    def connect(self, scope: str) -> ForgetfulQueueClient:
        return ForgetfulQueueClient(self, scope)


class ForgetfulQueueClient(redis.RedisQueueClient):
    def __init__(self, target: redis.RedisQueue, scope: str) -> None:
        super().__init__(target, scope)
        self._taken: list[str] = []

    def dequeue(self) -> int | None:
        if not self._taken:
            self._taken = self.do("LPOP", self.waiting, 2) or []
        return int(self._taken.pop(0)) if self._taken else None


@dataclass(repr=False)
class UnlockedRegisters(redis.RedisRegisters):
    """Reads, compares and writes, in three steps."""

    def connect(self, scope: str) -> UnlockedRegistersClient:
        return UnlockedRegistersClient(self, scope)


class UnlockedRegistersClient(redis.RedisRegistersClient):
    def cas(self, key: str, old: int | None, new: int) -> bool:
        if self.read(key) != old:
            return False
        self.write(key, new)
        return True


@dataclass(repr=False)
class ElementsInOneValue(redis.RedisElements):
    """All elements are in one value, which is read, and written with one more."""

    def connect(self, scope: str) -> ElementsInOneValueClient:
        return ElementsInOneValueClient(self, scope)


class ElementsInOneValueClient(redis.RedisElementsClient):
    def add(self, element: int) -> None:
        elements = [*self.read(), element]
        self.do("SET", self.key("elements"), ",".join(map(str, elements)))

    def read(self) -> list[int]:
        text = self.do("GET", self.key("elements")) or ""
        return [int(element) for element in text.split(",") if element]


@dataclass(repr=False)
class ForgetfulCache(redis.RedisCache):
    """A write changes the origin, and the cache is told nothing of it."""

    def connect(self, scope: str) -> ForgetfulCacheClient:
        return ForgetfulCacheClient(self, scope, self.lasts_s)


class ForgetfulCacheClient(redis.RedisCacheClient):
    def invalidate(self, key: str) -> None:
        return


@dataclass(repr=False)
class HastyCache(redis.RedisCache):
    """A write empties the cache before it changes the origin, so a reader between fills it with what was."""

    def connect(self, scope: str) -> HastyCacheClient:
        return HastyCacheClient(self, scope, self.lasts_s)


class HastyCacheClient(redis.RedisCacheClient):
    def write(self, key: str, value: int) -> None:
        self.invalidate(key)
        self.do("SET", self.key("origin", key), value)
