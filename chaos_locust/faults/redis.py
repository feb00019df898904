"""Faults on a Redis or Valkey server, done by its own protocol."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from chaos_locust.data import PositiveSeconds, Share
from chaos_locust.faults.base import Fault
from chaos_locust.faults.network import PositiveMilliseconds
from chaos_locust.units import format_duration

LONGEST_DELAY_S = 1.0
SHORTEST_INTERVAL_S = 0.1
MOST_KEYS = 10_000


def _at_most_a_second(value_s: float) -> float:
    if value_s > LONGEST_DELAY_S:
        limit = format_duration(LONGEST_DELAY_S)
        raise ValueError(
            f"'{format_duration(value_s)}' is not allowed; give {limit} at most, or use redis_pause"
        )
    return value_s


def _not_all_the_time(value_s: float) -> float:
    if value_s < SHORTEST_INTERVAL_S:
        limit = format_duration(SHORTEST_INTERVAL_S)
        raise ValueError(f"'{format_duration(value_s)}' is not allowed; give {limit} at least")
    return value_s


def _pattern(value: object) -> object:
    if not isinstance(value, str) or not value:
        raise ValueError(f"'{value}' is no key or pattern; give one such as session:*")
    if value.startswith("chaos-"):
        raise ValueError(f"'{value}' are keys of ours, which hold what undoing needs; give others")
    return value


Keys = Annotated[str, AfterValidator(_pattern)]
_KEYS_TEXT = "a key, or a pattern of keys as in SCAN MATCH, such as session:*, in the database of the URL"


class RedisFault(Fault):
    """Base of the faults that are done by commands to the server."""

    family: ClassVar[str] = "redis"
    needs: ClassVar[tuple[str, ...]] = ("redis",)
    writes: ClassVar[bool] = False
    """Whether it writes to keys, ours or the target's, so that it cannot act where writes are refused."""


class RedisPause(RedisFault):
    """The server answers nobody: commands wait until it goes on (CLIENT PAUSE), none is lost.

    It is paused by a connection of ours, for 0.3 s at a time, so that the pause ends with that connection.
    A server that refuses connections is kind `down` on its link.
    """

    kind: ClassVar[str] = "redis_pause"
    summary: ClassVar[str] = "lets all commands wait (CLIENT PAUSE), or only those that write"
    undo: ClassVar[str] = (
        "held by one connection, 0.3 s at a time: it ends by itself within 1 s when we die, guardian or not"
    )
    effect_text: ClassVar[str] = (
        "a command of ours gets no answer, and the server receives bytes of the load meanwhile"
    )

    commands: Literal["all", "write"] = Field(
        default="all", description="all: every command waits. write: only those that write"
    )

    def clashes_with(self, other: Fault) -> str:
        if self.commands == "all" and isinstance(other, RedisFault):
            return "no other fault of a server can begin, act or end while it is paused"
        if isinstance(other, RedisFault) and other.writes:
            return f"a {other.kind} writes, which waits while writing is paused"
        return super().clashes_with(other)


class RedisSlow(RedisFault):
    """Commands are answered only every `delay`: the server is paused and goes on in turns, as it does when
    slow commands such as KEYS occupy its one thread.

    A command waits for `delay` at most, half of it on average when commands come at random, and what waits
    is answered at once. The server's own tick can add up to 0.1 s, and does so always before Redis 7.
    """

    kind: ClassVar[str] = "redis_slow"
    summary: ClassVar[str] = (
        "answers only every delay, as a server does whose thread is busy with slow commands"
    )
    undo: ClassVar[str] = (
        "held by one connection, one delay at a time: it ends by itself within 1.1 s when we die, "
        "guardian or not"
    )
    effect_text: ClassVar[str] = (
        "a PING takes longer by a quarter of the delay at least, and the load called it"
    )

    delay_s: Annotated[PositiveMilliseconds, AfterValidator(_at_most_a_second)] = Field(
        alias="delay", description="how long commands wait at most; up to 1s"
    )


class RedisFlush(RedisFault):
    """The keys are deleted. That cannot be undone: what was only there is lost. Made for caches."""

    kind: ClassVar[str] = "redis_flush"
    summary: ClassVar[str] = "deletes all keys of the database, or those of a pattern; cannot be undone"
    instant: ClassVar[bool] = True
    writes: ClassVar[bool] = True
    undo: ClassVar[str] = "nothing is undone: the keys are lost, and the target has to fill its cache again"
    effect_text: ClassVar[str] = "keys were deleted, and the load called the server"

    keys: Keys = Field(default="*", description=f"{_KEYS_TEXT}; by default all of it (FLUSHDB)")


class RedisEvict(RedisFault):
    """The memory limit is lowered, so that the server evicts keys, and goes on evicting while it acts.

    The server's own policy chooses the keys; where that is noeviction, allkeys-lru does.
    """

    kind: ClassVar[str] = "redis_evict"
    summary: ClassVar[str] = "lowers maxmemory, so that a share of what keys occupy is evicted"
    writes: ClassVar[bool] = True
    undo: ClassVar[str] = (
        "maxmemory and its policy are put back by the guardian, by `cleanup`, or by `cleanup --scan` from "
        "what is noted in the server; evicted keys are lost"
    )
    effect_text: ClassVar[str] = "the server counts evicted keys, and the load called it"

    share: Share = Field(default=0.5, description="of the memory that keys occupy at the onset")

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, RedisOutOfMemory):
            return "both change maxmemory"
        return super().clashes_with(other)


class RedisExpire(RedisFault):
    """Keys expire early: none of the pattern lives longer than `ttl`, also those that come meanwhile.

    Keys that would never expire are left alone. Afterwards those that still live, and whose end was not
    changed by somebody else, get their own end back.
    """

    kind: ClassVar[str] = "redis_expire"
    summary: ClassVar[str] = "lets keys of a pattern expire after ttl at the latest"
    changes: ClassVar[bool] = True
    writes: ClassVar[bool] = True
    undo: ClassVar[str] = (
        "keys that still live get their end back by the guardian, by `cleanup`, or by `cleanup --scan` from "
        "what is noted in the server; expired keys are lost"
    )
    effect_text: ClassVar[str] = "keys were given a nearer end, and the load called the server"

    keys: Keys = Field(description=_KEYS_TEXT)
    ttl_s: PositiveMilliseconds = Field(alias="ttl", description="how long a key lives at most")


class RedisCorrupt(RedisFault):
    """Values are spoiled: each becomes our mark and its own bytes backwards, also those written meanwhile.

    The value keeps its end. Only strings up to 256 KB; other types are left alone. Every value carries all
    that putting it back needs; what the target rewrote meanwhile is not touched.
    """

    kind: ClassVar[str] = "redis_corrupt"
    summary: ClassVar[str] = "spoils string values of a pattern, and puts them back afterwards"
    changes: ClassVar[bool] = True
    writes: ClassVar[bool] = True
    undo: ClassVar[str] = (
        "values that are still spoiled are put back by the guardian, by `cleanup`, or by `cleanup --scan`: "
        "each carries its original"
    )
    effect_text: ClassVar[str] = "values were spoiled, and the load called the server"

    keys: Keys = Field(description=_KEYS_TEXT)
    count: int = Field(
        default=1000, ge=1, le=MOST_KEYS, description="so many values each half second at most; up to 10000"
    )


class RedisRefuseWrites(RedisFault):
    """Every write is refused with NOREPLICAS, as when a server has lost its replicas (min-replicas-to-write).

    Reads are answered.
    """

    kind: ClassVar[str] = "redis_refuse_writes"
    summary: ClassVar[str] = "refuses every write with NOREPLICAS (min-replicas-to-write)"
    undo: ClassVar[str] = (
        "the settings are put back by the guardian, by `cleanup`, or by `cleanup --scan` from what is "
        "noted in the server"
    )
    effect_text: ClassVar[str] = "a write of ours is refused, and so are writes of the load"

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, RedisFault) and other.writes:
            return f"a {other.kind} writes, and writes are refused"
        return super().clashes_with(other)


class RedisOutOfMemory(RedisFault):
    """Writes that need memory are refused with OOM (maxmemory below what is used, noeviction).

    Reads are answered, and no key is evicted.
    """

    kind: ClassVar[str] = "redis_out_of_memory"
    summary: ClassVar[str] = "refuses writes that need memory with OOM (maxmemory, noeviction)"
    undo: ClassVar[str] = RedisRefuseWrites.undo
    effect_text: ClassVar[str] = "a write of ours meets OOM, and so do writes of the load"

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, RedisFault) and other.writes:
            return f"a {other.kind} writes, and writes are refused"
        return super().clashes_with(other)


class RedisDisconnect(RedisFault):
    """The connections of all others are closed, again and again (CLIENT KILL); new ones are accepted.

    Replicas keep theirs unless `replicas` is true. Connections whose name begins with `chaos-` are ours.
    """

    kind: ClassVar[str] = "redis_disconnect"
    summary: ClassVar[str] = "closes the connections of clients, every so often"
    undo: ClassVar[str] = "nothing lasts: it ends with the guardian, and clients connect again"
    effect_text: ClassVar[str] = "connections were closed, and the load called the server"

    every_s: Annotated[PositiveSeconds, AfterValidator(_not_all_the_time)] = Field(
        default=1.0, alias="every", description="how often; at least 100ms apart"
    )
    replicas: bool = Field(default=False, description="closes the connections of replicas too")


FAULTS: tuple[type[Fault], ...] = (
    RedisPause,
    RedisSlow,
    RedisFlush,
    RedisEvict,
    RedisExpire,
    RedisCorrupt,
    RedisRefuseWrites,
    RedisOutOfMemory,
    RedisDisconnect,
)
