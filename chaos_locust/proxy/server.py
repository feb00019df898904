"""A proxy: a listener, its connections, and its toxics."""

from __future__ import annotations

import errno
import logging
import socket
from typing import Any

import gevent

from chaos_locust.proxy import errors
from chaos_locust.proxy.chain import ToxicChain
from chaos_locust.proxy.connection import Connection, Context, tune
from chaos_locust.proxy.netaddr import Address, AddressError, Resolver, bound, listen, resolve
from chaos_locust.proxy.tls import Tls

_READ = 1
_ACCEPTS_AT_ONCE = 64
_PAUSE_S = 0.1
_LOG = logging.getLogger(__name__)


class Proxy:
    """One proxy of the API. `listen` is the address as given, or the one in use once it listens."""

    def __init__(
        self,
        context: Context,
        resolver: Resolver,
        name: str,
        listen: str,
        upstream: str,
        tls: Tls | None = None,
    ) -> None:
        self.context = context
        self.tls = tls
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.enabled = False
        self.toxics = ToxicChain(lambda: self._connections, context.loop)
        self._resolver = resolver
        self._connections: dict[Connection, None] = {}
        self._listener: socket.socket | None = None
        self._watcher: Any = None
        self._addresses: list[Address] = []  # of the upstream; resolved once, until none of them answers
        self._resolving: list[Connection] | None = None
        self._told: set[str] = set()

    def document(self) -> dict[str, Any]:
        document = {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "Logger": {},
            "toxics": self.toxics.documents(),
        }
        return document if self.tls is None else document | {"tls": self.tls.document()}

    # --- what the API does

    def start(self) -> None:
        """Begins to listen; nothing if it does already. Raises `ApiError`."""
        if self.enabled:
            return
        try:
            self._listener = listen(self.listen, self._resolver)
        except AddressError as error:
            raise errors.cannot_listen(error) from None
        tune(self._listener)  # what it accepts inherits this
        self.listen = bound(self._listener)
        self.enabled = True
        self._addresses, self._resolving = [], None
        self._watcher = self.context.loop.io(self._listener.fileno(), _READ)
        self._watcher.start(self._acceptable)

    def stop(self) -> None:
        """Closes the listener and all connections."""
        if self._listener is None:
            return
        self.enabled = False
        self._watcher.stop()
        self._watcher.close()
        self._listener.close()
        self._listener = None
        for connection in list(self._connections):
            connection.close()

    def differs(self, listen: str, upstream: str) -> bool:
        """True if these addresses are not the ones in use. Raises `ApiError`."""
        try:
            resolved = resolve(listen, self._resolver)[0]
        except AddressError as error:
            raise errors.cannot_listen(error) from None
        return self.listen != str(resolved) or self.upstream != upstream

    def update(self, listen: str, upstream: str, enabled: bool) -> None:
        """Other addresses close all connections. Raises `ApiError`."""
        if self.differs(listen, upstream):
            self.stop()
            self.listen, self.upstream = listen, upstream
        if enabled and not self.enabled:
            self.start()
        elif self.enabled and not enabled:
            self.stop()

    # --- accepting

    def _acceptable(self) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            if self._listener is None:
                return
            try:
                client, _address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause(error)
                return
            client.setblocking(False)
            connection = Connection(self, client)
            self._connections[connection] = None
            self._dial(connection)

    def _pause(self, error: OSError) -> None:
        """No more sockets to be had: waits, since the listener stays readable, and goes on then."""
        _LOG.warning("proxy %s cannot accept: %s", self.name, error.strerror)
        self._watcher.stop()
        self._watcher.close()
        self._watcher = self.context.loop.timer(_PAUSE_S)
        self._watcher.start(self._go_on)

    def _go_on(self) -> None:
        assert self._listener is not None
        self._watcher.close()
        self._watcher = self.context.loop.io(self._listener.fileno(), _READ)
        self._watcher.start(self._acceptable)

    # --- the upstream

    def _dial(self, connection: Connection) -> None:
        if self._addresses:
            connection.dial(self._addresses)
        elif self._resolving is not None:
            self._resolving.append(connection)
        else:
            self._resolving = [connection]
            gevent.spawn(self._resolve, self.upstream, self._resolving)

    def _resolve(self, upstream: str, waiting: list[Connection]) -> None:
        # A name may take its time, and the loop must not wait for it: this alone needs a greenlet.
        try:
            addresses = resolve(upstream, self._resolver)
        except AddressError as error:
            _LOG.warning("proxy %s has no upstream: dial tcp: %s", self.name, error)
            addresses = []
        if self._resolving is waiting:  # else the proxy was started anew meanwhile, maybe for another one
            self._addresses, self._resolving = addresses, None
        for connection in waiting:
            connection.dial(addresses)

    def dialed(self, address: Address) -> None:
        """This address of the upstream answers: it is tried first from now on."""
        if self._addresses and self._addresses[0] != address and address in self._addresses:
            self._addresses = [address, *(a for a in self._addresses if a != address)]

    def dial_failed(self) -> None:
        """No address of the upstream answers: its name is looked up again for the next client."""
        self._addresses = []

    def tell(self, reason: str) -> None:
        """Logs why a connection came to nothing; each reason once."""
        if reason not in self._told:
            self._told.add(reason)
            _LOG.warning("proxy %s: %s", self.name, reason)

    def forget(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
