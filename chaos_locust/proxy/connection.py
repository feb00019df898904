"""One client's connection: the client's socket, the upstream's socket, and a link for each direction."""

from __future__ import annotations

import errno
import random
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chaos_locust.proxy.http.answers import AnswerStage
from chaos_locust.proxy.http.requests import RequestStage
from chaos_locust.proxy.http.session import Session
from chaos_locust.proxy.link import Link, Wire
from chaos_locust.proxy.metrics import Direction, Metrics
from chaos_locust.proxy.netaddr import Address, split_host_port
from chaos_locust.proxy.tls import Tls, TlsSocket

if TYPE_CHECKING:
    from chaos_locust.proxy.server import Proxy

_READ, _WRITE = 1, 2
_LINGER_RESET = struct.pack("ii", 1, 0)
_TCP_CLOSED = 7
_CHECK_S = 15.0
_HANDSHAKE_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Context:
    """What all connections share: gevent's loop, the clock (monotonic seconds), chance, one read buffer."""

    loop: Any
    clock: Callable[[], float]
    rng: random.Random
    metrics: Metrics
    buffer: memoryview


def tune(sock: socket.socket) -> None:
    """Small packets go out at once, and a peer that vanished is noticed after a while."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)


class Connection:
    """Connects to the upstream, holding up nobody else, then pumps both ways until both have ended."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self.context = proxy.context
        self.links: list[Link] = []
        self.session: Session | None = None
        # Whose bytes were the last at the upstream's socket: tells where an exchange may begin.
        self.spoke_last: Direction | None = None
        self._settling = False
        self._proxy = proxy
        self._client = client
        self._upstream: socket.socket | None = None
        self._labels = (proxy.name, proxy.listen, proxy.upstream)
        self._counted: set[Direction] = set()
        self._watcher: Any = None  # of the connect or a handshake, later of a half-closed connection
        self._limit: Any = None  # of the handshakes
        self._closed = False

    # --- connecting

    def dial(self, addresses: list[Address]) -> None:
        """Tries the addresses in turn; without success the client is closed."""
        if self._closed:
            return
        for i, address in enumerate(addresses):
            try:
                sock = socket.socket(address.family, socket.SOCK_STREAM)
            except OSError:  # no more descriptors
                break
            sock.setblocking(False)
            tune(sock)
            code = sock.connect_ex((address.host or "127.0.0.1", address.port))
            if code == errno.EINPROGRESS:
                self._upstream = sock
                self._watcher = self.context.loop.io(sock.fileno(), _WRITE)
                self._watcher.start(self._dialed, addresses[i:])
                return
            if code == 0:
                self._upstream = sock
                self._connected(address)
                return
            sock.close()
        self._proxy.dial_failed()
        self.close()

    def _dialed(self, addresses: list[Address]) -> None:
        assert self._upstream is not None
        self._stop_watcher()
        if self._upstream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._upstream.close()
            self._upstream = None
            self.dial(addresses[1:])
        else:
            self._connected(addresses[0])

    def _connected(self, address: Address) -> None:
        assert self._upstream is not None
        self._proxy.dialed(address)
        if self._proxy.tls is None:
            self._join(self._client, self._upstream)
        else:
            self._secure(self._proxy.tls, self._upstream)

    def _secure(self, tls: Tls, upstream: socket.socket) -> None:
        name = split_host_port(self._proxy.upstream)[0] or "127.0.0.1"
        wires = {
            "upstream": TlsSocket(upstream, tls.client, server_side=False, server_name=name),
            "client": TlsSocket(self._client, tls.server, server_side=True),
        }
        self._limit = self.context.loop.timer(_HANDSHAKE_LIMIT_S)
        self._limit.start(self._refuse, "a handshake takes too long", update=True)
        self._shake_hands(wires)

    def _shake_hands(self, wires: dict[str, TlsSocket]) -> None:
        """With the upstream first: a client need not believe in a connection that there will never be."""
        self._stop_watcher()
        for whom, wire in wires.items():
            try:
                waits_for = wire.handshake()
            except ssl.SSLCertVerificationError as error:
                return self._refuse(f"the certificate of the {whom} is refused: {error.verify_message}")
            except ssl.SSLError as error:
                return self._refuse(f"no TLS with the {whom}: {error.reason or error.strerror}")
            except OSError as error:
                return self._refuse(f"no TLS with the {whom}: {error.strerror}")
            if waits_for is not None:
                self._watcher = self.context.loop.io(wire.fileno(), _READ if waits_for == "read" else _WRITE)
                self._watcher.start(self._shake_hands, wires)
                return None
        self._stop_limit()
        self._join(wires["client"], wires["upstream"])
        return None

    def _refuse(self, reason: str) -> None:
        self._proxy.tell(reason)
        self.close()

    def _join(self, client: Wire, upstream: Wire) -> None:
        self.links = [Link(self, "upstream", client, upstream), Link(self, "downstream", upstream, client)]
        self.http_changed()
        for link in list(self.links):
            # The first link's toxics may have ended the connection already.
            if not link.done:
                link.start(self._proxy.toxics.of(link.direction))

    # --- toxics on HTTP

    def http_changed(self) -> None:
        """Toxics on HTTP messages were added, changed or removed."""
        if not self.links or self._closed:
            return
        toxics = self._proxy.toxics.of_http()
        if self.session is not None:
            self.session.change(toxics)
        elif toxics:
            self.session = Session(toxics, self.context.rng, self.spoke_last)
            for link, stage in zip(self.links, (RequestStage, AnswerStage), strict=True):
                if not link.done:
                    link.attach(stage(self.session))
        if self.session is not None:
            for link in self.links:
                link.pump()

    def settle(self) -> None:
        """Something has moved: what the session made of it may concern the other direction."""
        if self._settling:
            return
        self._settling = True
        while self.session is not None and not self._closed:
            if self.session.news:
                direction = self.session.news.pop()
                for link in self.links:
                    if link.direction == direction:
                        link.pump()
            elif self.session.may_go:
                self.session = None
                for link in self.links:
                    link.detach()
            else:
                break
        self._settling = False

    # --- ending

    def input_ended(self, link: Link) -> None:
        """All that this link will ever receive has been received."""
        if link.direction not in self._counted:
            self._counted.add(link.direction)
            self.context.metrics.received(link.direction, self._labels, link.received_on_wire)

    def link_done(self, link: Link, complete: bool) -> None:
        self.input_ended(link)
        if complete:
            self.context.metrics.sent(link.direction, self._labels, link.sent)
        if all(link.done for link in self.links):
            self.close()
        elif not self._closed and self._watcher is None:
            # Half closed. A peer that is gone altogether shows only in the state of its socket.
            self._watcher = self.context.loop.timer(_CHECK_S, _CHECK_S)
            self._watcher.start(self._check, update=True)

    def _check(self) -> None:
        assert self._upstream is not None
        for sock in (self._client, self._upstream):
            if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSED:
                self.close()
                return

    def reset(self) -> None:
        """Ends the connection with RST to both sides."""
        for sock in (self._client, self._upstream):
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self.close()

    def close(self) -> None:
        """Closes both sockets. Safe to call again."""
        if self._closed:
            return
        self._closed = True
        self._stop_watcher()
        self._stop_limit()
        for link in self.links:
            link.close(complete=link.sent == link.received)
        self._client.close()
        if self._upstream is not None:
            self._upstream.close()
        self._proxy.forget(self)

    def _stop_limit(self) -> None:
        if self._limit is not None:
            self._limit.close()
            self._limit = None

    def _stop_watcher(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
