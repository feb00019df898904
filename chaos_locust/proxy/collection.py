"""All proxies, by name, and what the API does with them."""

from __future__ import annotations

import socket
from typing import Any

import gevent.socket
from gevent.lock import RLock

from chaos_locust.proxy import errors
from chaos_locust.proxy.connection import Context
from chaos_locust.proxy.gojson import List, Member, Scalar, Struct, decode, plain, value_of
from chaos_locust.proxy.server import Proxy
from chaos_locust.proxy.tls import Tls

_STRING = Scalar("string")
_MEMBERS = {
    "name": Member(_STRING),
    "listen": Member(_STRING),
    "upstream": Member(_STRING),
    "enabled": Member(Scalar("bool")),
    "Logger": Member(Struct("Logger", "zerolog.Logger")),
}
_PROXY = Struct("Proxy", "toxiproxy.Proxy", _MEMBERS)
_ENTRY = Struct(
    "",
    'struct { toxiproxy.Proxy; Enabled *bool "json:\\"enabled\\"" }',
    {name: Member(member.shape, ("Proxy",)) for name, member in _MEMBERS.items()}
    | {"enabled": Member(Scalar("bool", nullable=True))},
)
_ENTRIES = List(f"[]{_ENTRY.go_type}", _ENTRY)


def _lookup(host: str) -> list[str]:
    """IPs of a host name; other greenlets go on meanwhile. Raises OSError."""
    found = gevent.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def _tls(given: Any) -> Tls | None:
    """Raises `ApiError`."""
    try:
        return None if given is None else Tls.read(given)
    except ValueError as error:
        raise errors.bad_body(error) from None


class Collection:
    """The proxies. Commands that change them run one after another, also while a name is looked up."""

    def __init__(self, context: Context) -> None:
        self.proxies: dict[str, Proxy] = {}
        self._context = context
        self._lock = RLock()

    def documents(self) -> dict[str, dict[str, Any]]:
        return {name: self.proxies[name].document() for name in sorted(self.proxies, key=str.encode)}

    def get(self, name: str) -> Proxy:
        """Raises `ApiError` if there is none of that name."""
        if name not in self.proxies:
            raise errors.proxy_not_found()
        return self.proxies[name]

    def create(self, body: bytes) -> Proxy:
        """Adds a proxy from the API's JSON, and starts it unless it is not enabled. Raises `ApiError`."""
        given = {"name": "", "listen": "", "upstream": "", "enabled": True}
        decode(body, _PROXY, given)
        for name in ("name", "upstream"):
            if not given[name]:
                raise errors.missing_field(name)
        with self._lock:
            if given["name"] in self.proxies:
                raise errors.proxy_exists()
            return self._add(given, _tls(value_of(body, "tls")))

    def update(self, name: str, body: bytes) -> Proxy:
        """Raises `ApiError`."""
        proxy = self.get(name)
        given: dict[str, Any] = {
            "listen": proxy.listen,
            "upstream": proxy.upstream,
            "enabled": proxy.enabled,
        }
        decode(body, _PROXY, given)
        with self._lock:
            proxy.update(given["listen"], given["upstream"], given["enabled"])
        return proxy

    def remove(self, name: str) -> None:
        """Raises `ApiError` if there is none of that name."""
        with self._lock:
            self.get(name).stop()
            del self.proxies[name]

    def populate(self, body: bytes) -> tuple[list[Proxy], errors.ApiError | None]:
        """Creates or replaces all proxies of a list; one with the same addresses stays as it is.

        Returns the proxies up to the first that failed, and its error.
        """
        try:
            entries: list[dict[str, Any]] = decode(body, _ENTRIES, [])
            tls = [_tls(entry.get("tls")) if isinstance(entry, dict) else None for entry in plain(body) or ()]
            for i, entry in enumerate(entries, start=1):
                for field in ("name", "upstream"):
                    if not entry.get(field):
                        raise errors.missing_field(f"{field} at proxy {i}")
        except errors.ApiError as error:
            return [], error
        done: list[Proxy] = []
        with self._lock:
            for entry, secured in zip(entries, tls, strict=True):
                try:
                    done.append(self._add_or_replace(entry, secured))
                except errors.ApiError as error:
                    return done, error
        return done, None

    def reset(self) -> None:
        """Starts all proxies and removes all toxics. Raises `ApiError`."""
        with self._lock:
            for proxy in list(self.proxies.values()):
                proxy.start()
                proxy.toxics.reset()

    def close(self) -> None:
        """Stops all proxies."""
        for proxy in self.proxies.values():
            proxy.stop()

    def _add_or_replace(self, entry: dict[str, Any], tls: Tls | None) -> Proxy:
        existing = self.proxies.get(entry["name"])
        if existing is not None:
            differs = existing.differs(entry.get("listen", ""), entry["upstream"])
            if not differs and tls is None and existing.tls is None:
                return existing
            existing.stop()
        return self._add(entry, tls)

    def _add(self, entry: dict[str, Any], tls: Tls | None) -> Proxy:
        name, listen, upstream = entry["name"], entry.get("listen", ""), entry["upstream"]
        proxy = Proxy(self._context, _lookup, name, listen, upstream, tls)
        if entry.get("enabled") is not False:
            proxy.start()
        self.proxies[proxy.name] = proxy
        return proxy
