"""How the shop and its administrators log in to the database and the cache.

The passwords are made for each state folder and kept in files that only their owner may read. To PostgreSQL's
clients an address names the file, so that neither a list of processes nor a journal can show what is in it.
Valkey's clients know nothing of the kind: what its address is written into is kept private, too.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote, unquote, urlsplit

from chaos_locust.demo.accounts import write_private
from chaos_locust.demo.settings import HOST, Settings

SUPERUSER = "postgres"  # the shop itself is a role without rights beyond its own tables and the audit log
SERVICE = "shop"  # the shop's role in PostgreSQL, and its user in Valkey
ADMINISTRATOR = "default"  # of Valkey, who everybody is before he says otherwise

# What a cache is for, with its own keys; and what an audit asks to learn what else the shop might do.
_CACHE_RIGHTS = "~shop:* +@read +@write +@connection -@admin -@dangerous +config|get +acl|whoami +acl|dryrun"


@dataclass(frozen=True, slots=True)
class Logins:
    """Passwords: of PostgreSQL's superuser and the shop's role, of Valkey's administrator and the shop's
    user."""

    superuser: str
    role: str
    administrator: str
    user: str

    @staticmethod
    def make() -> Logins:
        return Logins(*(secrets.token_hex(16) for _ in range(4)))

    @staticmethod
    def read(state: Path) -> Logins:
        return Logins(**json.loads((state / "logins.json").read_text()))

    def write(self, state: Path, open_cache: bool) -> None:
        """open_cache: the lapse `open-cache`."""
        write_private(state / "logins.json", json.dumps(asdict(self)))
        words = {SUPERUSER: self.superuser, SERVICE: self.role}
        lines = [f"{HOST}:*:*:{user}:{password}\n" for user, password in words.items()]
        write_private(password_file(state), "".join(lines))
        stranger = "nopass" if open_cache else f"#{_digest(self.administrator)}"
        users = [
            f"user {ADMINISTRATOR} on {stranger} ~* &* +@all\n",
            f"user {SERVICE} on #{_digest(self.user)} {_CACHE_RIGHTS}\n",
        ]
        write_private(cache_users(state), "".join(users))


class Way(TypedDict):
    """Where the shop finds its database or its cache, and who it is there."""

    host: str
    port: int
    user: str
    password: str


def way_to_database(settings: Settings) -> Way:
    if settings.apart is not None:
        return way_of(settings.apart.database, 5432)
    password = Logins.read(settings.state).role
    return Way(host=HOST, port=settings.ports.postgres_proxy, user=SERVICE, password=password)


def way_to_cache(settings: Settings) -> Way:
    if settings.apart is not None:
        return way_of(settings.apart.cache, 6379)
    password = Logins.read(settings.state).user
    return Way(host=HOST, port=settings.ports.cache_proxy, user=SERVICE, password=password)


def way_of(url: str, port: int) -> Way:
    """port: where the URL names none."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Way(host=parts.hostname or "", port=parts.port or port, user=user, password=password)


def password_file(state: Path) -> Path:
    """In the form of PostgreSQL's clients (`passfile`)."""
    return state / "pgpass"


def cache_users(state: Path) -> Path:
    """What Valkey is told of its users; it knows their passwords by their digests."""
    return state / "cache.conf"


def database_url(settings: Settings, user: str = SUPERUSER, database: str = "shop") -> str:
    """Not through the proxy. The superuser's, unless another is named."""
    file = quote(str(password_file(settings.state)))
    return f"postgresql://{user}@{HOST}:{settings.ports.postgres}/{database}?passfile={file}"


def cache_url(settings: Settings) -> str:
    """The administrator's, not through the proxy. It has the password in it."""
    password = Logins.read(settings.state).administrator
    return f"redis://{ADMINISTRATOR}:{password}@{HOST}:{settings.ports.cache}"


def service_cache_url(settings: Settings) -> str:
    """The shop's own, as `cache_url`."""
    password = Logins.read(settings.state).user
    return f"redis://{SERVICE}:{password}@{HOST}:{settings.ports.cache}"


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
