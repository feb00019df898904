"""Looks at one link behind a proxy: its toxics, its answer to a hello, the bytes through it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from chaos_locust.backends.base import Reading
from chaos_locust.backends.http.api import EmbeddedApi
from chaos_locust.backends.proxy.client import ToxiproxyApi
from chaos_locust.errors import BackendError, ProbeError
from chaos_locust.probes.hello import QUESTIONS, Protocol, detect, say_hello
from chaos_locust.probes.link import link_address, link_bytes
from chaos_locust.probes.port_use import PortUse

_Link = tuple[str, str]


class LinkWatch:
    """Keeps account of the bytes of our own hellos on every link, so that they never count as use."""

    def __init__(self) -> None:
        self._own: Counter[_Link] = Counter()
        self._said = 0
        self._protocols: dict[_Link, Protocol | None] = {}
        self.ports = PortUse()
        self._apis: dict[str, EmbeddedApi] = {}
        self._lock = threading.Lock()

    def api(self, url: str) -> EmbeddedApi:
        """The one client for this URL, whose connections are kept open."""
        with self._lock:
            return self._apis.setdefault(url, EmbeddedApi(url))

    def count(self, api: ToxiproxyApi, proxy: str, listen: str) -> Reading:
        """{at_s, sent, moved, own, exact, error}; `sent` is None when it is not known."""
        reading: Reading = {
            "at_s": time.monotonic(),
            "sent": None,
            "moved": 0,
            "own": 0,
            "exact": False,
            "error": "",
        }
        address = link_address(listen, api.host)
        try:
            seen = link_bytes(api.metrics(), proxy, address)
            reading |= {"sent": seen.sent, "exact": seen.exact}
            if seen.exact and address is not None:
                reading["moved"] = self.ports.count(address[1]).received
        except (BackendError, ProbeError) as error:
            reading["error"] = str(error)
        # Taken after the count: what is counted of ours is then surely among it.
        with self._lock:
            reading["own"] = self._own[api.url, proxy]
        return reading

    def hellos(self, api: ToxiproxyApi, undo: Any, times: int, limit_s: float, to_the_end: bool) -> list[Any]:
        """So many hellos over the link of `undo`, as data; none when its protocol is not known."""
        link, address = (api.url, undo["proxy"]), link_address(undo["listen"], api.host)
        if address is None:
            return []
        if self._protocols.get(link) is None and not self._learn(link, address, undo):
            return []
        protocol = self._protocols[link]
        assert protocol is not None
        found = []
        for _ in range(times):
            self._add_own(link, len(QUESTIONS[protocol]), 1)
            found.append(asdict(say_hello(address, protocol, limit_s, to_the_end, self.ports.add_own)))
        return found

    def learn(self, api: ToxiproxyApi, undo: Any) -> None:
        """Finds out what is spoken on the link, before a fault can hide it."""
        address = link_address(undo["listen"], api.host)
        if address is not None:
            self._learn((api.url, undo["proxy"]), address, undo)

    def _learn(self, link: _Link, address: tuple[str, int], undo: Any) -> bool:
        with self._lock:
            if link in self._protocols:
                return self._protocols[link] is not None
            self._protocols[link] = None
        # Everything that detecting may send is counted before it is sent.
        self._add_own(link, sum(map(len, QUESTIONS.values())), len(QUESTIONS))
        port = undo["upstream"].rpartition(":")[2]
        names = (undo["target"], undo["proxy"])
        protocol = detect(address, names, int(port) if port.isdecimal() else 0, self.ports.add_own)
        self._protocols[link] = protocol
        return protocol is not None

    def own_hellos(self) -> tuple[int, int]:
        """Bytes and connections of ours at most, on all links together."""
        with self._lock:
            return sum(self._own.values()), self._said

    def _add_own(self, link: _Link, size: int, connections: int) -> None:
        with self._lock:
            self._own[link] += size
            self._said += connections
