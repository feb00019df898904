"""What readings of a Redis server prove of a fault on it. Pure.

A reading: {at_s, answered: whether a probe was, error, ping_s: round trips, refused: the error word that a
write of ours met, calls: {command: [calls, rejected]}, own: {command: ours}, counts: {evicted_keys,
expired_keys, ...}, done: keys or connections touched so far, samples: see redis_hold}. What was not asked
for or not answered is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.link.effect import Proof
from chaos_locust.faults.base import Fault
from chaos_locust.faults.redis import (
    RedisCorrupt,
    RedisDisconnect,
    RedisEvict,
    RedisExpire,
    RedisFlush,
    RedisOutOfMemory,
    RedisPause,
    RedisRefuseWrites,
    RedisSlow,
)

# Monitors, replicas and sentinels say these too; our own EVAL tells by what it calls.
_WATCHERS_SAY = """
acl auth bgrewriteaof bgsave client cluster command config dbsize debug echo eval evalsha fcall hello info
lastsave latency memory monitor object ping psubscribe psync publish quit replconf reset role save scan select
sentinel slowlog subscribe sync time type
"""
_NO_USE = frozenset(_WATCHERS_SAY.split())
_GREETINGS = frozenset(["auth", "client", "hello", "select"])  # which everybody says
_REPLICA_BYTES_PER_S = 300
_DONE_WORDS = {
    RedisFlush: "keys deleted",
    RedisExpire: "keys given a nearer end",
    RedisCorrupt: "values spoiled",
    RedisDisconnect: "connections closed",
}
_WORDS = {RedisRefuseWrites: "NOREPLICAS", RedisOutOfMemory: "OOM"}


def redis_effect(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    if not during:
        return Effect(None, None, "it was over before it could be looked at")
    mechanism, how = _mechanism(fault, before, during)
    if isinstance(fault, RedisPause):
        use, what = _bytes(during)
    elif type(fault) in _WORDS:
        use, what = _rejected([*before[-1:], *during])
    elif fault.instant:
        use, what = _called([*before, *during], "around it")
    else:
        use, what = _called([*before[-1:], *during], "meanwhile")
        if use is False and isinstance(fault, RedisSlow):
            use, what = _gave_up([*before[-1:], *during])
    return Effect(mechanism, use, f"{how}, {what}")


def _mechanism(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    match fault:
        case RedisPause():
            return _silent(during)
        case RedisSlow():
            return _slower(fault, before, during)
        case RedisEvict():
            return _evicted(before, during)
        case RedisRefuseWrites() | RedisOutOfMemory():
            return _refused(_WORDS[type(fault)], during)
    done = max(reading["done"] for reading in during)
    return done > 0, f"{done} {_DONE_WORDS[type(fault)]}"


def _silent(during: Sequence[Reading]) -> Proof:
    silent = [reading for reading in during if reading["answered"] is False]
    text = f"{len(silent)} of {len(during)} commands of ours had no answer"
    return 2 * len(silent) > len(during), text


def _slower(fault: RedisSlow, before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    usual, slow = (
        [ping_s for reading in readings for ping_s in reading["ping_s"] or ()]
        for readings in (before, during)
    )
    if not usual or not slow:
        error = next((r["error"] for r in reversed(during) if r["error"]), "no PING was answered")
        return None, f"how long a PING takes is not known ({error})"
    more_s = median(slow) - median(usual)
    return more_s >= fault.delay_s / 4, f"{more_s * 1000:+.0f} ms for a PING ({len(slow)} of them)"


def _evicted(before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    counts = [reading["counts"] for reading in (*before[-1:], *during) if reading["counts"] is not None]
    if len(counts) < 2:
        return None, "how many keys were evicted is not known"
    evicted = counts[-1]["evicted_keys"] - counts[0]["evicted_keys"]
    return evicted > 0, f"{evicted} keys evicted"


def _refused(word: str, during: Sequence[Reading]) -> Proof:
    asked = [reading for reading in during if reading["refused"] is not None]
    if not asked:
        return None, f"no write of ours was answered ({during[-1]['error']})"
    met = sum(reading["refused"] == word for reading in asked)
    return 2 * met > len(asked), f"{met} of {len(asked)} writes of ours met {word}"


def _rejected(readings: Sequence[Reading]) -> Proof:
    """The writes of others that the server rejected."""
    seen = [reading for reading in readings if reading["calls"] is not None]
    if len(seen) < 2:
        return None, "whether writes of the load met it is not known"
    others = _others(seen[0], seen[-1], (1,))
    return others > 0, f"{others} writes of the load refused meanwhile"


def _called(readings: Sequence[Reading], words: str) -> Proof:
    """The commands of others that the server carried out or rejected."""
    seen = [reading for reading in readings if reading["calls"] is not None]
    if len(seen) < 2:
        return None, "whether the load called the server is not known"
    others = _others(seen[0], seen[-1], (0, 1))
    return others > 0, f"{others:,} commands of the load {words}"


def _gave_up(readings: Sequence[Reading]) -> Proof:
    """The server drops what waits when its client gives up first: it has received it, and never did it.
    What watchers sent is not to be told from that, so there must have been none."""
    seen = [reading for reading in readings if reading["calls"] is not None]
    received, what = _bytes(readings)
    if received and _others(seen[0], seen[-1], (0, 1), _NO_USE - _GREETINGS):
        return None, f"{what}, perhaps from who watches the server"
    return received, f"{what}, and no command of it carried out"


def _others(
    first: Reading, last: Reading, which: tuple[int, ...], names: frozenset[str] | None = None
) -> int:
    """Commands of others: with these names, or all besides those that say nothing about use."""
    others = 0
    for name in set(last["calls"]) - _NO_USE if names is None else names & set(last["calls"]):
        earlier = first["calls"].get(name, (0, 0))
        grown = sum(max(0, last["calls"][name][each] - earlier[each]) for each in which)
        others += max(0, grown - (last["own"].get(name, 0) - first["own"].get(name, 0)))
    return others


def _bytes(readings: Sequence[Reading]) -> Proof:
    """What the server received of others while it answered nobody."""
    samples = [sample for reading in readings for sample in reading["samples"] or ()]
    if len(samples) < 2:
        return None, "whether the load called the server is not known"
    first, last = samples[0], samples[-1]
    own = last["own"][1] - first["own"][0]
    own += round(last["replicas"] * _REPLICA_BYTES_PER_S * (last["at_s"] - first["at_s"]))
    others = max(0, last["bytes"] - first["bytes"] - own)
    return others > 0, f"{others:,} bytes of the load received meanwhile"
