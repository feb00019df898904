"""What many clients do at once on a Redis server, built right, and with the mistake that is often made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4

from invariants.machine import Refused
from invariants.samples.in_process import Race
from invariants.targets.redis_client import RedisClient, RedisTarget

_UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_TAKE = """
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then return 0 end
redis.call('DECRBY', KEYS[1], ARGV[1])
return 1"""
_PUT = """
local found = redis.call('HMGET', KEYS[1], 'value', 'version')
if (found[tonumber(ARGV[3])] or ARGV[4]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'value', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'version', 1)
return 1"""


class Client(RedisClient):
    """twin: whether it makes the mistake."""

    def __init__(self, target: RedisTarget, scope: str, twin: bool) -> None:
        super().__init__(target, scope)
        self.twin = twin

    def between(self) -> None:
        """Called where a mistake leaves a door open: others are let through it."""
        assert isinstance(self.target, Races)
        self.target.race.meet()


class Lock(Client):
    """Twin: sees that nobody has it, and then takes it."""

    LEASE_MS: ClassVar[int] = 60_000
    PATIENCE_S: ClassVar[float] = 0.02

    def __init__(self, target: RedisTarget, scope: str, twin: bool) -> None:
        super().__init__(target, scope, twin)
        self._me, self._lock = uuid4().hex, self.key("lock")

    def acquire(self) -> None:
        give_up_s = self.target.clock() + self.PATIENCE_S
        while not self._take():
            if self.target.clock() > give_up_s:
                self.give_up()
                raise Refused("held")
            self.target.sleep(0.001)

    def release(self) -> None:
        if not self.script(_UNLOCK, [self._lock], self._me):
            raise Refused("not mine any more")

    def give_up(self) -> None:
        """Whatever was taken meanwhile is given back, if it is this client's."""
        self.script(_UNLOCK, [self._lock], self._me)

    def _take(self) -> bool:
        if not self.twin:
            return bool(self.do("SET", self._lock, self._me, "NX", "PX", self.LEASE_MS))
        if self.do("GET", self._lock) is not None:
            return False
        self.between()
        self.do("SET", self._lock, self._me, "PX", self.LEASE_MS)
        return True


class LockOfAnybody(Lock):
    """Twin: who gives up takes the lock from whoever holds it."""

    def _take(self) -> bool:
        return bool(self.do("SET", self._lock, self._me, "NX", "PX", self.LEASE_MS))

    def give_up(self) -> None:
        if self.twin:
            self.do("DEL", self._lock)
        else:
            super().give_up()


class Amount(Client):
    """Twin: reads, and then writes."""

    def add(self, amount: int) -> None:
        if self.twin:
            more = self.read() + amount
            self.between()
            self.do("SET", self.key("amount"), more)
        else:
            self.do("INCRBY", self.key("amount"), amount)

    def read(self) -> int:
        return int(self.do("GET", self.key("amount")) or 0)


class Stock(Client):
    """Twin: sees that enough is there, and then takes it."""

    def add(self, amount: int) -> None:
        self.do("INCRBY", self.key("stock"), amount)

    def read(self) -> int:
        return int(self.do("GET", self.key("stock")) or 0)

    def take(self, amount: int) -> None:
        if self.twin:
            if self.read() < amount:
                raise Refused("too little")
            self.between()
            self.do("DECRBY", self.key("stock"), amount)
        elif not self.script(_TAKE, [self.key("stock")], amount):
            raise Refused("too little")


class Record(Client):
    """A value and its version. Twin: compares the values."""

    def read(self) -> tuple[str, str]:
        value, version = self.do("HMGET", self.key("record"), "value", "version")
        return value or "A", (value or "A") if self.twin else (version or "0")

    def put(self, value: str, based_on: str) -> None:
        place, first = (1, "A") if self.twin else (2, "0")
        if not self.script(_PUT, [self.key("record")], value, based_on, place, first):
            raise Refused("conflict")


class CountingRecord(Client):
    """Adds by reading, and by writing on condition until it is taken. Twin: writes on no condition."""

    def __init__(self, target: RedisTarget, scope: str, twin: bool) -> None:
        super().__init__(target, scope, twin)
        self.conflicts = 0

    def add(self, amount: int) -> None:
        while True:
            value, version = self.do("HMGET", self.key("record"), "value", "version")
            more = int(value or 0) + amount
            self.between()
            if self.twin:
                self.do("HSET", self.key("record"), "value", more)
                return
            if self.script(_PUT, [self.key("record")], more, version or "0", 2, "0"):
                return
            self.conflicts += 1

    def read(self) -> int:
        return int(self.do("HGET", self.key("record"), "value") or 0)


class Tasks(Client):
    """A stream with a consumer group. Twin: takes over what others are still at."""

    DEAD_MS: ClassVar[int] = 600_000
    """Who has not been done with a task for so long is not there any more."""

    def __init__(self, target: RedisTarget, scope: str, twin: bool) -> None:
        super().__init__(target, scope, twin)
        self._stream, self._me = self.key("tasks"), uuid4().hex
        try:
            self.do("XGROUP", "CREATE", self._stream, "workers", "0", "MKSTREAM")
        except Refused as error:
            if "BUSYGROUP" not in str(error):
                raise

    def request(self, task: int) -> None:
        self.do("XADD", self._stream, "*", "task", task)

    def work(self) -> bool:
        found = self._taken_over() or self._next()
        for entry, task in found:
            if self.twin:
                self.between()
            self.do("RPUSH", self.key("executed"), task)
            self.do("XACK", self._stream, "workers", entry)
        return bool(found)

    def executions(self) -> list[int]:
        while self.work():
            pass
        return [int(task) for task in self.do("LRANGE", self.key("executed"), 0, -1)]

    def _next(self) -> list[tuple[str, str]]:
        command = ("XREADGROUP", "GROUP", "workers", self._me, "COUNT", 1, "STREAMS", self._stream, ">")
        return [
            (entry, fields["task"]) for _, entries in self.do(*command) or () for entry, fields in entries
        ]

    def _taken_over(self) -> list[tuple[str, str]]:
        idle_ms = 0 if self.twin else self.DEAD_MS
        command = ("XAUTOCLAIM", self._stream, "workers", self._me, idle_ms, "0", "COUNT", 1)
        return [(entry, fields["task"]) for entry, fields in self.do(*command)[1]]


class Messages(Client):
    """A list. Twin: the newest comes first."""

    def enqueue(self, message: int) -> None:
        self.do("LPUSH" if self.twin else "RPUSH", self.key("messages"), message)

    def dequeue(self) -> int | None:
        message = self.do("LPOP", self.key("messages"))
        return None if message is None else int(message)

    def drain(self) -> list[int]:
        return list(iter(self.dequeue, None))  # type: ignore[arg-type]


class Board(Client):
    """Twin: sets the flag before the data."""

    def publish(self, number: int) -> None:
        steps: list[Callable[[], Any]] = [
            lambda: self.do("HSET", self.key("data"), number, number),
            lambda: self.do("SET", self.key("flag"), number),
        ]
        first, last = reversed(steps) if self.twin else steps
        first()
        self.between()
        last()

    def look(self) -> tuple[int | None, int | None]:
        flag = self.do("GET", self.key("flag"))
        if flag is None:
            return None, None
        data = self.do("HGET", self.key("data"), flag)
        return int(flag), None if data is None else int(data)


class Map(Client):
    """A hash. Twin: one text with all of it, read and written as a whole."""

    def put(self, key: str, value: int) -> None:
        if self.twin:
            self._write(self._read() | {key: value})
        else:
            self.do("HSET", self.key("map"), key, value)

    def delete(self, key: str) -> None:
        if self.twin:
            self._write({each: value for each, value in self._read().items() if each != key})
        else:
            self.do("HDEL", self.key("map"), key)

    def get(self, key: str) -> int | None:
        return self.items().get(key)

    def items(self) -> dict[str, int]:
        if self.twin:
            return self._read()
        return {key: int(value) for key, value in self.do("HGETALL", self.key("map")).items()}

    def _read(self) -> dict[str, int]:
        return dict(json.loads(self.do("GET", self.key("text")) or "{}"))

    def _write(self, whole: dict[str, int]) -> None:
        self.between()
        self.do("SET", self.key("text"), json.dumps(whole))


@dataclass(repr=False)
class Races(RedisTarget):
    client: type[Client] = Client
    twin: bool = False
    race: Race = field(default_factory=Race)

    def connect(self, scope: str) -> Client:
        return self.client(self, scope, self.twin)
