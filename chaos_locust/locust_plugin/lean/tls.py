"""TLS over a wire, by Python's own `SSLObject`: it works in memory, and all waits stay the wire's."""

from __future__ import annotations

import ssl
from functools import lru_cache

from chaos_locust.locust_plugin.lean.failures import CutOff
from chaos_locust.locust_plugin.lean.wire import BLOCK_BYTES, Wire


@lru_cache
def client_context(insecure: bool) -> ssl.SSLContext:
    """One for all users: loading the system's authorities takes some 10 ms."""
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TlsWire:
    """As Wire. Raises ssl.SSLError beside what a wire does."""

    def __init__(self, wire: Wire, context: ssl.SSLContext, host: str) -> None:
        self._wire = wire
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def handshake(self, deadline_s: float) -> None:
        done = False
        while not done:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            finally:
                self._flush(deadline_s)  # also the alert that says why we end it
            if not done:
                self._receive(deadline_s)

    def send(self, data: bytes, deadline_s: float) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]
            self._flush(deadline_s)

    def receive(self, deadline_s: float) -> bytes:
        """Nothing when the other side has said that it ends; CutOff when it just closed."""
        while True:
            try:
                return self._tls.read(BLOCK_BYTES)
            except ssl.SSLWantReadError:
                self._flush(deadline_s)
                self._receive(deadline_s)
            except ssl.SSLZeroReturnError:
                return b""

    def quiet(self) -> bool:
        """What TLS itself sends in between, such as new tickets, is no data."""
        while True:
            try:
                self._tls.read(1)
                return False
            except ssl.SSLWantReadError:
                if self._wire.quiet():
                    return True
                received = self._wire.receive_now()
                if not received:
                    return False
                self._incoming.write(received)
            except ssl.SSLError:
                return False

    def close(self) -> None:
        self._wire.close()

    def _receive(self, deadline_s: float) -> None:
        received = self._wire.receive(deadline_s)
        if not received:
            raise CutOff("closed without TLS saying so")
        self._incoming.write(received)

    def _flush(self, deadline_s: float) -> None:
        if self._outgoing.pending:
            self._wire.send(self._outgoing.read(), deadline_s)
