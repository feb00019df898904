"""Why a fault could not be done to a Redis server now."""

from __future__ import annotations

import re

from chaos_locust.backends.redis.server import RedisServer, Refused
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault
from chaos_locust.faults.redis import (
    RedisCorrupt,
    RedisEvict,
    RedisExpire,
    RedisFault,
    RedisFlush,
    RedisOutOfMemory,
    RedisPause,
    RedisRefuseWrites,
    RedisSlow,
)

OLDEST = (6, 2)
MOST_KEYS_SCANNED = 1_000_000
_CLIENT = ("client", "info")
_CONFIG = (*_CLIENT, "config", "hset", "hdel", "hgetall", "lpushx")
_KEYS = (*_CLIENT, "scan", "eval", "hset", "hdel", "hgetall")
_NEEDED: dict[type[Fault], tuple[str, ...]] = {
    RedisPause: _CLIENT,
    RedisSlow: _CLIENT,
    RedisFlush: (*_KEYS, "flushdb", "unlink", "dump", "restore"),
    RedisEvict: _CONFIG,
    RedisRefuseWrites: _CONFIG,
    RedisOutOfMemory: _CONFIG,
    RedisExpire: (*_KEYS, "pexpireat", "hget", "hlen", "hkeys"),
    RedisCorrupt: (*_KEYS, "get", "set"),
}
_TRIED = {
    RedisEvict: ("maxmemory", "maxmemory-policy"),
    RedisOutOfMemory: ("maxmemory", "maxmemory-policy"),
    RedisRefuseWrites: ("min-replicas-to-write", "min-replicas-max-lag"),
}


def redis_problems(server: RedisServer, fault: Fault) -> list[str]:
    """One line for each reason; empty: it can be done. Changes nothing."""
    try:
        info, _ = server.info()
    except BackendError as error:
        return [str(error)]
    if problem := _unfit(server, fault, info):
        return [problem]
    try:
        problems = _missing(server, fault)
        if type(fault) in _TRIED and not problems:
            problems += _unchangeable(server, fault)
        if isinstance(fault, RedisFlush | RedisExpire | RedisCorrupt) and not problems:
            problems += _unfindable(server, fault.keys)
    except BackendError as error:
        return [str(error)]
    return problems


def _unfit(server: RedisServer, fault: Fault, info: dict[str, str]) -> str:
    where = server.shown
    version = tuple(int(number) for number in re.findall(r"\d+", info.get("redis_version", ""))[:2])
    if info.get("redis_mode", info.get("server_mode")) == "sentinel":
        return f"{where} is a sentinel; give the server that it watches"
    if info.get("cluster_enabled") == "1":
        return f"{where} is a node of a cluster, where {fault.kind} is not supported; use kinds of its link"
    if version < OLDEST:
        shown = info.get("redis_version", "unknown")
        return f"{where} has version {shown}; {fault.kind} needs Redis 6.2 or later, or Valkey"
    if info.get("loading") == "1":
        return f"{where} is still loading its data"
    if info.get("role") != "master" and fault.kind not in ("redis_pause", "redis_slow", "redis_disconnect"):
        return f"{where} is a replica, which takes no writes; {fault.kind} needs the primary"
    return ""


def _missing(server: RedisServer, fault: Fault) -> list[str]:
    """Commands that are renamed or switched off, or that this user may not give."""
    needed = _NEEDED.get(type(fault), _CLIENT)
    known = server.call("COMMAND", "INFO", *needed)
    missing = [name for name, about in zip(needed, known, strict=True) if not about]
    if missing:
        names = ", ".join(name.upper() for name in missing)
        return [f"{server.shown} does not know {names} (renamed or switched off), which a {fault.kind} needs"]
    attempts: list[tuple[str, ...]] = [("CLIENT", "LIST", "ID", "1")]
    if isinstance(fault, RedisFault) and fault.kind in ("redis_expire", "redis_corrupt", "redis_flush"):
        attempts.append(("EVAL", "return 1", "0"))
    return [str(error) for attempt in attempts if (error := _refusal(server, *attempt))]


def _unchangeable(server: RedisServer, fault: Fault) -> list[str]:
    """Each setting is set to the value that it has."""
    for name in _TRIED[type(fault)]:
        error = _refusal(server, "CONFIG", "GET", name) or _refusal(
            server, "CONFIG", "SET", name, server.settings(name)[name]
        )
        if error:
            return [f"{error}; a {fault.kind} changes {name} by CONFIG, which managed servers refuse"]
    return [] if isinstance(fault, RedisRefuseWrites) else _clients_limited(server, fault)


def _clients_limited(server: RedisServer, fault: Fault) -> list[str]:
    try:
        limit = server.settings("maxmemory-clients")["maxmemory-clients"]
    except BackendError:
        return []  # before Redis 7
    if limit.endswith("%"):
        return [
            f"{server.shown} limits clients to {limit} of maxmemory (maxmemory-clients), so that a "
            f"{fault.kind} would close connections; give an absolute limit"
        ]
    return []


def _unfindable(server: RedisServer, keys: str) -> list[str]:
    size = int(server.call("DBSIZE"))
    if keys != "*" and size > MOST_KEYS_SCANNED:
        limit = f"{MOST_KEYS_SCANNED:,}"
        return [
            f"the database of {server.shown} has {size:,} keys; more than {limit} take too long to search"
        ]
    if not re.search(r"[*?\[\\]", keys) and not server.call("EXISTS", keys):
        return [f"{server.shown} has no key {keys}"]
    return []


def _refusal(server: RedisServer, *command: str) -> BackendError | None:
    try:
        server.call(*command)
    except Refused as error:
        return error
    return None
