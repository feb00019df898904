"""What many do at the same time on Redis, each as one would rightly build it there: amounts, locks, records
with a version, tasks, and what is made when it is first wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from invariants.bindings import Bound
from invariants.machine import Refused
from invariants.targets.redis_client import RedisClient, RedisTarget

FIRST = "A"
"""The value of a record that nobody has written yet."""
HOLD_S = 0.002
"""So long the lock is held, so that others come meanwhile."""
_TRY_AGAIN_S = 0.001

_TAKE = """
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then return 0 end
redis.call('DECRBY', KEYS[1], ARGV[1])
return 1"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])"""
_PUT = """
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'value', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'version', 1)
return 1"""
_GET = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX') then redis.call('RPUSH', KEYS[2], ARGV[2]) end
return redis.call('GET', KEYS[1])"""


@dataclass(repr=False)
class RedisAmount(RedisTarget):
    """A counter, or what is left of something that is sold; a script looks and takes in one step."""

    def connect(self, scope: str) -> RedisAmountClient:
        return RedisAmountClient(self, scope)


class RedisAmountClient(RedisClient):
    def add(self, amount: int) -> None:
        self.do("INCRBY", self.key("amount"), amount)

    def take(self, amount: int) -> None:
        if not self.script(_TAKE, [self.key("amount")], amount):
            raise Refused("too little")

    def read(self) -> int:
        return int(self.do("GET", self.key("amount")) or 0)


@dataclass(repr=False)
class RedisLocks(RedisTarget):
    """A key with the holder's own token, which a script deletes only where it is still there.

    patience_s: who has waited so long is told that others hold it. lease_s: so long after it was given the
    lock is free again, whatever became of its holder; longer than anybody needs it.
    """

    patience_s: float = 0.02
    lease_s: float = 60.0

    def connect(self, scope: str) -> RedisLocksClient:
        return RedisLocksClient(self, scope, self.patience_s, self.lease_s)


class RedisLocksClient(RedisClient):
    def __init__(self, target: RedisTarget, scope: str, patience_s: float, lease_s: float) -> None:
        super().__init__(target, scope)
        self._patience_s, self._lease_ms = patience_s, int(lease_s * 1000)
        self._lock, self._token = self.key("lock"), ""

    def acquire(self) -> None:
        give_up_s = self.target.clock() + self._patience_s
        self._token = uuid4().hex
        while not self.given(self._token):
            if self.target.clock() > give_up_s:
                raise Refused("held")
            self.target.sleep(_TRY_AGAIN_S)

    def given(self, token: str) -> bool:
        """Asks once."""
        return self.do("SET", self._lock, token, "NX", "PX", self._lease_ms) is not None

    def release(self) -> None:
        if not self.script(_RELEASE, [self._lock], self._token):
            raise Refused("not mine any more")


@dataclass(repr=False)
class RedisRecord(RedisTarget):
    """A record that is only changed where it still has the version that was read."""

    def connect(self, scope: str) -> RedisRecordClient:
        return RedisRecordClient(self, scope)


class RedisRecordClient(RedisClient):
    def read(self) -> tuple[str, int]:
        value, version = self.do("HMGET", self.key("record"), "value", "version")
        return value or FIRST, int(version or 0)

    def put(self, value: str, version: int) -> None:
        if not self.script(_PUT, [self.key("record")], value, version):
            raise Refused("conflict")


@dataclass(repr=False)
class RedisTasks(RedisTarget):
    """What a task does is to be in the list of those that were executed: it is moved there in one step."""

    def connect(self, scope: str) -> RedisTasksClient:
        return RedisTasksClient(self, scope)


class RedisTasksClient(RedisClient):
    def __init__(self, target: RedisTarget, scope: str) -> None:
        super().__init__(target, scope)
        self.waiting, self.executed = self.key("tasks"), self.key("executed")

    def request(self, task: int) -> None:
        self.do("RPUSH", self.waiting, task)

    def work(self) -> bool:
        return self.do("LMOVE", self.waiting, self.executed, "LEFT", "RIGHT") is not None

    def executions(self) -> list[int]:
        while self.work():
            pass
        return [int(task) for task in self.do("LRANGE", self.executed, 0, -1)]


@dataclass(repr=False)
class RedisOnce(RedisTarget):
    """SET NX: whoever is first has made it. It is made, noted and read in one script, so nobody who goes away
    in the middle leaves it claimed and not made."""

    def connect(self, scope: str) -> RedisOnceClient:
        return RedisOnceClient(self, scope)


class RedisOnceClient(RedisClient):
    def get(self, name: str) -> str:
        keys = [self.key("instance", name), self.key("made")]
        return str(self.script(_GET, keys, uuid4().hex, name))

    def executions(self) -> list[str]:
        return [str(name) for name in self.do("LRANGE", self.key("made"), 0, -1)]


def bindings(url: str) -> Mapping[str, Bound]:
    """Raises InvalidUrl."""
    return {
        "counters_are_exact": Bound(RedisAmount(url), concurrency=4),
        "stock_is_never_oversold": Bound(RedisAmount(url), concurrency=4),
        "locks_exclude": Bound(RedisLocks(url), {"hold_s": HOLD_S}, concurrency=4),
        "updates_are_not_lost": Bound(RedisRecord(url), concurrency=4),
        "tasks_run_once": Bound(RedisTasks(url), concurrency=4),
        "initialised_once": Bound(RedisOnce(url), concurrency=4),
    }
