"""Settings of a server that a fault changes, and the note about it that the server itself keeps.

Settings: {name: [theirs, ours]}, in the order in which they are put on. They are put back the other way
round: a low memory limit must never stand beside a policy that evicts.
"""

from __future__ import annotations

import json
from typing import Any

from chaos_locust.backends.base import Undo
from chaos_locust.backends.redis.keys import REGISTRY
from chaos_locust.backends.redis.server import RedisServer
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault
from chaos_locust.faults.redis import RedisEvict, RedisRefuseWrites

Settings = dict[str, list[str]]

_NEVER_SO_MANY = "1000000"
_MAX_LAG_S = "10"  # the server's own default; 0 would switch the check off


def settings_for(server: RedisServer, fault: Fault, mark: str) -> Settings:
    """Raises BackendError, also where another fault has changed them already."""
    if isinstance(fault, RedisRefuseWrites):
        now = server.settings("min-replicas-to-write", "min-replicas-max-lag")
        lag = now["min-replicas-max-lag"]
        ours = {"min-replicas-max-lag": _MAX_LAG_S if lag == "0" else lag}
        ours |= {"min-replicas-to-write": _NEVER_SO_MANY}
    else:
        now = server.settings("maxmemory", "maxmemory-policy")
        policy, limit = "noeviction", "1"
        if isinstance(fault, RedisEvict):
            policy = now["maxmemory-policy"]
            policy = "allkeys-lru" if policy == "noeviction" else policy
            limit = str(_limit(server, fault.share))
        ours = {"maxmemory-policy": policy, "maxmemory": limit}
    for other, undo in notes(server).items():
        if other != mark and (same := sorted(set(undo.get("settings", ())) & set(ours))):
            raise BackendError(
                f"{server.shown}: {same[0]} is changed by another fault ({other}); if its run is over, "
                "chaos-locust cleanup --scan puts it back"
            )
    return {name: [now[name], value] for name, value in ours.items()}


def _limit(server: RedisServer, share: float) -> int:
    """Bytes that leave so much less than now for keys; what the server and its clients need is not theirs."""
    info, _ = server.info()
    used = int(info["used_memory"])
    others = ("used_memory_startup", "mem_clients_normal", "mem_clients_slaves", "mem_replication_backlog")
    keys = used - sum(int(info.get(name, 0)) for name in others)
    return max(1, used - round(share * max(keys, 0)))


def put_on(server: RedisServer, settings: Settings) -> None:
    for name, (_, ours) in settings.items():
        server.call("CONFIG", "SET", name, ours)
    if left := [name for name, (_, ours) in settings.items() if server.settings(name)[name] != ours]:
        raise BackendError(f"{server.shown} did not take the new {left[0]}")


def put_back(server: RedisServer, settings: Settings) -> None:
    """Only what is still as we set it; what somebody else set meanwhile stays."""
    for name, (theirs, ours) in reversed(settings.items()):
        if theirs != ours and server.settings(name)[name] == ours:
            server.call("CONFIG", "SET", name, theirs)


def still_on(server: RedisServer, settings: Settings) -> bool:
    return any(
        theirs != ours and server.settings(name)[name] == ours for name, (theirs, ours) in settings.items()
    )


def note(server: RedisServer, undo: Undo) -> None:
    """Says in the server itself how to undo it, for those who have no lease; never the URL."""
    about = {key: value for key, value in undo.items() if key != "url"}
    server.call("HSET", REGISTRY, undo["mark"], json.dumps(about))


def forget(server: RedisServer, mark: str) -> None:
    server.call("HDEL", REGISTRY, mark)


def notes(server: RedisServer) -> dict[str, Any]:
    """mark -> Undo without its URL, of every fault that the server keeps a note of."""
    words = [word.decode(errors="replace") for word in server.call("HGETALL", REGISTRY)]
    found = {}
    for mark, text in zip(words[::2], words[1::2], strict=True):
        try:
            found[mark] = dict(json.loads(text))
        except (ValueError, TypeError):
            raise BackendError(f"{server.shown}: the note {mark} in {REGISTRY} cannot be read") from None
    return found
