"""Opens connections: addresses one after the other, through a proxy where the environment says so, TLS."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import gevent
from gevent.socket import SOCK_STREAM, getaddrinfo

from chaos_locust.locust_plugin.lean.failures import ConnectTimeout, ProxyFailed
from chaos_locust.locust_plugin.lean.reader import ReplyReader
from chaos_locust.locust_plugin.lean.tls import TlsWire
from chaos_locust.locust_plugin.lean.wire import Wire, new_socket

_PROXY_SCHEMES = ("http", "https")


class Origin(NamedTuple):
    """scheme: http or https. host: as DNS has it, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int

    def netloc(self, always_port: bool = False) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (443 if self.scheme == "https" else 80)
        return host if usual and not always_port else f"{host}:{self.port}"


class Proxy(NamedTuple):
    """authorization: the value of Proxy-Authorization; None: none."""

    origin: Origin
    authorization: str | None


class Proxies:
    """Which proxy leads to an origin: the given one, or what `http_proxy`, `https_proxy`, `all_proxy` and
    `no_proxy` of the environment say. Raises ValueError for one that is none."""

    def __init__(self, host: str | None, port: int | None) -> None:
        self._given = Proxy(Origin("http", host, port or 80), None) if host else None
        self._environment = {} if self._given else getproxies_environment()
        self._found: dict[Origin, Proxy | None] = {}

    def to(self, origin: Origin) -> Proxy | None:
        if self._given is not None:
            return self._given
        if not self._environment:
            return None
        if origin not in self._found:
            self._found[origin] = self._look_up(origin)
        return self._found[origin]

    def _look_up(self, origin: Origin) -> Proxy | None:
        url = self._environment.get(origin.scheme) or self._environment.get("all")
        if not url or proxy_bypass_environment(origin.netloc(), self._environment):
            return None
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in _PROXY_SCHEMES or not parts.hostname:
            raise ValueError(f"{origin.scheme}_proxy of the environment: neither http:// nor https://")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return Proxy(Origin(parts.scheme, parts.hostname, port), _authorization(parts))


class Opener:
    """Opens connections with TLS as `context` says. Raises OSError, of which ConnectTimeout is one."""

    def __init__(self, context: Callable[[], ssl.SSLContext], proxies: Proxies, timeout_s: float) -> None:
        self._make_context = context
        self._context: ssl.SSLContext | None = None
        self._proxies = proxies
        self._timeout_s = timeout_s

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """The one that gets the request itself: to TLS it only gives a tunnel."""
        return self._proxies.to(origin) if origin.scheme == "http" else None

    def open(self, origin: Origin) -> Wire | TlsWire:
        proxy = self._proxies.to(origin)
        deadline_s = perf_counter() + self._timeout_s
        with _named():
            wire: Wire | TlsWire
            if proxy is None:
                return self._open(origin, deadline_s)
            wire = self._open(proxy.origin, deadline_s)
            if origin.scheme == "http":
                return wire
            with _closed_on_error(wire):
                if isinstance(wire, TlsWire):
                    raise ProxyFailed("TLS through a proxy that itself speaks TLS is not possible")
                _tunnel(wire, origin, proxy.authorization, deadline_s)
                return self._secure(wire, origin.host, deadline_s)

    def _open(self, origin: Origin, deadline_s: float) -> Wire | TlsWire:
        wire = _connect(origin.host, origin.port, deadline_s)
        if origin.scheme == "http":
            return wire
        with _closed_on_error(wire):
            return self._secure(wire, origin.host, deadline_s)

    def _secure(self, wire: Wire, host: str, deadline_s: float) -> TlsWire:
        if self._context is None:
            self._context = self._make_context()
        secure = TlsWire(wire, self._context, host)
        secure.handshake(deadline_s)
        return secure


def _connect(host: str, port: int, deadline_s: float) -> Wire:
    """The first address that answers; each gets its part of the time that is left."""
    with gevent.Timeout(max(0.0, deadline_s - perf_counter()), TimeoutError):
        addresses = getaddrinfo(host, port, 0, SOCK_STREAM)
    first_error: OSError | None = None
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        now_s = perf_counter()
        wire: Wire | None = None
        try:
            wire = Wire(new_socket(family, kind, protocol))
            wire.connect(address, now_s + (deadline_s - now_s) / (len(addresses) - index))
            return wire
        except OSError as error:
            first_error = first_error or error
            if wire is not None:
                wire.close()
        except BaseException:
            if wire is not None:
                wire.close()
            raise
    raise first_error or OSError(f"no address of {host}")


def _tunnel(wire: Wire, origin: Origin, authorization: str | None, deadline_s: float) -> None:
    target = origin.netloc(always_port=True)
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if authorization is not None:
        lines.append(f"Proxy-Authorization: {authorization}")
    wire.send("\r\n".join([*lines, "", ""]).encode("latin-1"), deadline_s)
    reader = ReplyReader()
    reader.begin(True, 0)  # as to HEAD: what follows a 2xx is not HTTP's
    while not reader.done:
        received = wire.receive(deadline_s)
        if received:
            reader.feed(received)
        else:
            reader.end()
    if not 200 <= reader.status < 300:
        raise ProxyFailed(f"the proxy answered CONNECT with {reader.status}")


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    return basic(unquote(parts.username), unquote(parts.password or ""))


def basic(user: str | bytes, password: str | bytes) -> str:
    """The value of an Authorization header."""
    both = [text.encode("latin-1") if isinstance(text, str) else text for text in (user, password)]
    return "Basic " + b64encode(b":".join(both)).decode("ascii")


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise ConnectTimeout("no connection in time") from None


@contextmanager
def _closed_on_error(wire: Any) -> Iterator[None]:
    try:
        yield
    except BaseException:
        wire.close()
        raise
