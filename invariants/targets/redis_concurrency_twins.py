"""Targets on Redis with one planted defect each, as programs have them that many use at once."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from invariants.machine import Refused
from invariants.targets import redis_concurrency as redis


@dataclass(repr=False)
class ReadThenWrite(redis.RedisAmount):
    """Reads what is there, and writes what it makes of that."""

    def connect(self, scope: str) -> ReadThenWriteClient:
        return ReadThenWriteClient(self, scope)


class ReadThenWriteClient(redis.RedisAmountClient):
    def add(self, amount: int) -> None:
        self.do("SET", self.key("amount"), self.read() + amount)


@dataclass(repr=False)
class LookThenTake(redis.RedisAmount):
    """Sees that enough is there, and takes it then."""

    def connect(self, scope: str) -> LookThenTakeClient:
        return LookThenTakeClient(self, scope)


class LookThenTakeClient(redis.RedisAmountClient):
    def take(self, amount: int) -> None:
        if self.read() < amount:
            raise Refused("too little")
        self.do("DECRBY", self.key("amount"), amount)


@dataclass(repr=False)
class LooseLocks(redis.RedisLocks):
    """Sees that nobody has it, and takes it then."""

    def connect(self, scope: str) -> LooseLocksClient:
        return LooseLocksClient(self, scope, self.patience_s, self.lease_s)


class LooseLocksClient(redis.RedisLocksClient):
    def given(self, token: str) -> bool:
        if self.do("GET", self._lock) is not None:
            return False
        self.do("SET", self._lock, token, "PX", self._lease_ms)
        return True


@dataclass(repr=False)
class LocksOfAnybody(redis.RedisLocks):
    """No token: who waited in vain cleans up as who held it does, and deletes the lock of another."""

    def connect(self, scope: str) -> LocksOfAnybodyClient:
        return LocksOfAnybodyClient(self, scope, self.patience_s, self.lease_s)


class LocksOfAnybodyClient(redis.RedisLocksClient):
    def acquire(self) -> None:
        try:
            super().acquire()
        except Refused:
            self.release()
            raise

    def release(self) -> None:
        self.do("DEL", self._lock)


@dataclass(repr=False)
class Overwritten(redis.RedisRecord):
    """Writes whatever the version is."""

    def connect(self, scope: str) -> OverwrittenClient:
        return OverwrittenClient(self, scope)


class OverwrittenClient(redis.RedisRecordClient):
    def put(self, value: str, version: int) -> None:
        self.do("HSET", self.key("record"), "value", value, "version", version + 1)


@dataclass(repr=False)
class CheckThenAct(redis.RedisRecord):
    """Compares the version, and writes then."""

    def connect(self, scope: str) -> CheckThenActClient:
        return CheckThenActClient(self, scope)


class CheckThenActClient(OverwrittenClient):
    def put(self, value: str, version: int) -> None:
        if self.read()[1] != version:
            raise Refused("conflict")
        super().put(value, version)


@dataclass(repr=False)
class UnlockedTasks(redis.RedisTasks):
    """Two who look at the same time take the same task."""

    def connect(self, scope: str) -> UnlockedTasksClient:
        return UnlockedTasksClient(self, scope)


class UnlockedTasksClient(redis.RedisTasksClient):
    def work(self) -> bool:
        task = self.do("LINDEX", self.waiting, 0)
        if task is not None:
            self.do("RPUSH", self.executed, task)
            self.do("LREM", self.waiting, 1, task)
        return task is not None


@dataclass(repr=False)
class MadeTwice(redis.RedisOnce):
    """Looks whether it is there, and makes it then."""

    def connect(self, scope: str) -> MadeTwiceClient:
        return MadeTwiceClient(self, scope)


class MadeTwiceClient(redis.RedisOnceClient):
    def get(self, name: str) -> str:
        instance = self.do("GET", self.key("instance", name))
        if instance is None:
            instance = uuid4().hex
            self.do("SET", self.key("instance", name), instance)
            self.do("RPUSH", self.key("made"), name)
        return str(instance)
