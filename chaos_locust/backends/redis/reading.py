"""What is to be seen of a Redis server at one moment: see redis_effect for the form of a reading."""

from __future__ import annotations

import time
from collections.abc import Mapping

from chaos_locust.backends.base import MARK, Reading
from chaos_locust.backends.redis.server import RedisServer, Refused, counts_in
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault
from chaos_locust.faults.redis import RedisOutOfMemory, RedisPause, RedisRefuseWrites, RedisSlow

_PINGS, _PING_EVERY_S = 5, 0.02
_SILENT_S = 0.25
_COUNTS = ("evicted_keys", "expired_keys", "keyspace_hits", "keyspace_misses")
# A write that needs memory and changes nothing: there is no such list.
WRITE = ("LPUSHX", f"{MARK}locust-no-list", "x")


def read_redis(server: RedisServer, fault: Fault) -> Reading:
    """Without `done` and `samples`. Of a pause only whether it answers: more it will not. Never raises."""
    reading: Reading = {"at_s": time.monotonic(), "answered": None, "error": ""}
    reading |= dict.fromkeys(("ping_s", "refused", "calls", "own", "counts"))
    try:
        if isinstance(fault, RedisPause):
            command = WRITE if fault.commands == "write" else ("PING",)
            return reading | {"answered": _answered(server, command)}
        if isinstance(fault, RedisSlow):
            reading["ping_s"] = [_ping_s(server) for _ in range(_PINGS)]
        if isinstance(fault, RedisRefuseWrites | RedisOutOfMemory):
            reading["refused"] = refused_write(server)
        info, own = server.info()
        reading |= {
            "own": own,
            "calls": _calls(info),
            "counts": {name: int(info.get(name, 0)) for name in _COUNTS},
        }
    except BackendError as error:
        reading["error"] = str(error)
    return reading


def _answered(server: RedisServer, command: tuple[str, ...]) -> bool:
    """Over a connection of its own, whose name cannot be said while the server is paused."""
    link = server.link(name="", answer_s=_SILENT_S)
    try:
        link.call(*command)
    except Refused:
        return True
    except BackendError:
        return False
    finally:
        link.close()
    return True


def _ping_s(server: RedisServer) -> float:
    """Some time after the one before: what follows an answer at once may slip in before the next pause."""
    time.sleep(_PING_EVERY_S)
    started_s = time.monotonic()
    server.call("PING")
    return time.monotonic() - started_s


def refused_write(server: RedisServer) -> str:
    """The first word of the error that a write meets; empty: none. Returns when writing is not paused."""
    try:
        server.call(*WRITE)
    except Refused as error:
        return error.word
    return ""


def _calls(info: Mapping[str, str]) -> dict[str, list[int]]:
    """{command: [carried out, rejected]}; subcommands count for their command."""
    found: dict[str, list[int]] = {}
    for key, value in info.items():
        if key.startswith("cmdstat_"):
            counts = counts_in(value)
            each = found.setdefault(key.removeprefix("cmdstat_").partition("|")[0], [0, 0])
            each[0] += counts.get("calls", 0)
            each[1] += counts.get("rejected_calls", 0)
    return found
