"""What Redis has about somebody: keys with his name in them, or in what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chaos_locust.errors import ChaosError
from compliance.measures.base import Unsupported
from compliance.measures.stores.redis_server import connected
from compliance.site import Site, Unreachable

if TYPE_CHECKING:
    import redis

MOST_KEYS = 100_000


def keys_about(site: Site, name: str) -> list[str]:
    """Raises Unreachable; Unsupported when there are too many keys; ChaosError when they may not be read."""
    import redis as server

    assert site.target.redis is not None
    found, seen = [], 0
    try:
        with connected(site.target.redis.url, site) as client:
            for key in client.scan_iter(count=1000):
                seen += 1
                if seen > MOST_KEYS:
                    raise Unsupported(f"Redis has more than {MOST_KEYS} keys, too many to be searched")
                if name in key or name in _content(client, key):
                    found.append(key)
    except server.ResponseError as error:
        raise ChaosError(f"what Redis has may not be searched by redis.url: {error}") from None
    except server.RedisError as error:
        raise Unreachable(f"Redis: {error}") from None
    site.note(f"searched {seen} keys of Redis for {name}")
    return sorted(found)


def _content(client: redis.Redis, key: str) -> str:
    """As text; empty when it is gone."""
    readers: dict[str, Any] = {
        "string": client.get,
        "hash": client.hgetall,
        "list": lambda name: client.lrange(name, 0, -1),
        "set": client.smembers,
        "zset": lambda name: client.zrange(name, 0, -1),
        "stream": client.xrange,
    }
    kind = str(client.type(key))
    if kind == "none":
        return ""
    if kind not in readers:
        raise ChaosError(f"Redis has a key of the type {kind}, which cannot be searched")
    return str(readers[kind](key))
