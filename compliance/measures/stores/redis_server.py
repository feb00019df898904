"""Redis: who is let in, what the service may do to the whole server, and where it listens."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from chaos_locust.errors import ChaosError
from compliance.guesses import REDIS
from compliance.measures.base import Measure, SideEffect
from compliance.measures.stores.bad_databases import bad_redis
from compliance.site import Site, Unreachable
from compliance.target import Redis, Target

if TYPE_CHECKING:
    import redis

TIMEOUT_S = 5.0
DANGEROUS: Mapping[str, tuple[str, ...]] = {
    "FLUSHALL": (),
    "FLUSHDB": (),
    "SHUTDOWN": (),
    "KEYS": ("*",),
    "CONFIG": ("SET", "maxmemory", "1"),
    "REPLICAOF": ("NO", "ONE"),
    "ACL": ("SETUSER", "nobody"),
}
"""Commands that empty, end or take over the whole server, with arguments as they have them. None is sent: the
server is asked whether it would run them (ACL DRYRUN)."""


class Strangers(Measure):
    name = "redis_strangers"
    says = "whether Redis answers who has no password, or guesses one"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("redis",)
    fields: ClassVar[Mapping[str, str]] = {
        "may_read": "whether who has no password may read",
        "guessed": "whether the password is a very common one",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        url = _redis(site).open_url or _without_credentials(_redis(site).url)
        guessed = any(_may_read(site, url, password) for password in REDIS)
        return {"may_read": _may_read(site, url, None), "guessed": guessed}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with bad_redis() as url:
            yield Target(name="bad", redis=Redis(url=url))


class RedisSettings(Measure):
    name = "redis_settings"
    says = "what the service may do to the whole of Redis, where it listens, and whether it keeps anything"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("redis",)
    fields: ClassVar[Mapping[str, str]] = {
        "dangerous": f"of {', '.join(DANGEROUS)}, what the service's user may run; null: we may not see it",
        "listens_everywhere": "whether it is bound to every address of its machine; null: we may not see it",
        "persists": "whether it writes what it has to a disk, which a cache need not; null: not seen",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        client = connected(_redis(site).url, site)
        with client:
            bind, save, log = (_setting(client, name) for name in ("bind", "save", "appendonly"))
            dangerous = _dangerous(client)
        site.note(f"bind {bind!r}, save {save!r}, appendonly {log!r}; may run {dangerous}")
        return {
            "dangerous": dangerous,
            "listens_everywhere": None if bind is None else is_everywhere(bind),
            "persists": None if save is None or log is None else bool(save) or log == "yes",
        }

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with bad_redis() as url:
            yield Target(name="bad", redis=Redis(url=url))


def is_everywhere(bind: str) -> bool:
    """Of the setting `bind`: empty is every address; a minus says that one may be missing."""
    words = [each.lstrip("-") for each in bind.split()]
    return not words or any(each in ("*", "::*", "0.0.0.0", "::") for each in words)


def connected(url: str, site: Site, password: str | None = None) -> redis.Redis:
    """One connection, that is not tried again."""
    import redis

    if secret := urlsplit(url).password:
        site.secrets.add(secret)
    try:
        return redis.Redis.from_url(
            url, **({} if password is None else {"password": password}), protocol=2, retry=None,
            socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, decode_responses=True,
        )  # fmt: skip
    except ValueError as error:
        raise ChaosError(f"the address of Redis: {error}") from None


def _may_read(site: Site, url: str, password: str | None) -> bool:
    """A key that there is not. A password where none is asked for is no password."""
    import redis

    try:
        with connected(url, site, password) as client:
            client.get(f"chaos-locust-audit:{uuid.uuid4().hex}")
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        site.note(f"Redis refused {'no password' if password is None else 'a common password'}: {error}")
        return False
    except redis.ResponseError as error:
        if not str(error).startswith(("DENIED", "Protected mode")):
            raise ChaosError(f"Redis: {error}") from None
        return False
    except redis.RedisError as error:
        raise Unreachable(f"Redis: {error}") from None
    site.note(f"Redis took {'no password' if password is None else 'a common password'}")
    return True


def _setting(client: redis.Redis, name: str) -> str | None:
    """None: we may not see it. Raises Unreachable."""
    import redis

    try:
        found = client.config_get(name)
    except redis.AuthenticationError as error:
        raise ChaosError(f"Redis does not take the credentials of redis.url: {error}") from None
    except redis.ResponseError:
        return None
    except redis.RedisError as error:
        raise Unreachable(f"Redis: {error}") from None
    return str(found[name]) if isinstance(found, dict) and name in found else None


def _dangerous(client: redis.Redis) -> list[str] | None:
    """None: the server does not tell: it is older than Redis 7, or we may not ask it."""
    import redis

    found = []
    try:
        user = client.acl_whoami()
        for command, arguments in DANGEROUS.items():
            try:
                said = client.acl_dryrun(str(user), command, *arguments)
            except redis.ResponseError as error:
                if "not found" not in str(error):  # it was given another name
                    raise
                continue
            if said in ("OK", True):
                found.append(command)
    except redis.ResponseError:
        return None
    except redis.RedisError as error:
        raise Unreachable(f"Redis: {error}") from None
    return found


def _redis(site: Site) -> Redis:
    assert site.target.redis is not None
    return site.target.redis


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


MEASURES = (Strangers, RedisSettings)
