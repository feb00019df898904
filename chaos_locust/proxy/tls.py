"""TLS on both sides of a proxy, so that what is inside can be seen: an addition to Toxiproxy's."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

# So much ciphertext is read at a time that what it decrypts to fits into every reader's buffer, together with
# the rest of a record from before: nothing readable ever waits inside, where the event loop cannot see it.
_READ = 32 * 1024
_RECORD = 16 * 1024
_KEYS = ("certificate", "key", "upstream_ca", "verify")


@dataclass(frozen=True, slots=True)
class Tls:
    """How a proxy speaks TLS: to clients with a certificate, to the upstream with a check of its own.

    certificate, key: PEM files of this machine; the certificate's file may hold a chain. upstream_ca: a PEM
    file with who may have signed the upstream's certificate, by default those that this machine trusts.
    verify: whether that certificate is checked at all.
    """

    certificate: str
    upstream_ca: str | None
    verify: bool
    server: ssl.SSLContext
    client: ssl.SSLContext

    @classmethod
    def read(cls, given: Any) -> Tls:
        """Of the API's JSON. Raises ValueError naming what is wrong; never what is in the files."""
        if not isinstance(given, Mapping):
            raise ValueError("tls is no object")
        for name in given:
            if name not in _KEYS:
                raise ValueError(f"tls.{name} is no key; allowed: {', '.join(_KEYS)}")
        certificate, key = (_file(given, name) for name in ("certificate", "key"))
        verify = given.get("verify", True)
        if not isinstance(verify, bool):
            raise ValueError("tls.verify is neither true nor false")
        if not verify and given.get("upstream_ca") is not None:
            raise ValueError("tls.upstream_ca has no effect with verify: false")
        upstream_ca = None if given.get("upstream_ca") is None else _file(given, "upstream_ca")
        return cls(certificate, upstream_ca, verify, _server(certificate, key), _client(upstream_ca, verify))

    def document(self) -> dict[str, Any]:
        """As the API shows it; of the key not even the place."""
        document = {"certificate": self.certificate, "verify": self.verify}
        return document if self.upstream_ca is None else document | {"upstream_ca": self.upstream_ca}


def _file(given: Mapping[str, Any], name: str) -> str:
    path = given.get(name)
    if not isinstance(path, str) or not os.path.isabs(path):
        raise ValueError(f"tls.{name} is not the absolute path of a file")
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        raise ValueError(f"tls.{name}: {path} cannot be read: {error.strerror}") from None


def _server(certificate: str, key: str) -> ssl.SSLContext:
    def password() -> str:
        raise ValueError(f"tls.key: {key} is encrypted; give one that is not")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        reason = (error.reason or "not PEM").lower().replace("_", " ")
        raise ValueError(
            f"tls.certificate and tls.key are no pair of a certificate and its key: {reason}"
        ) from None
    return context


def _client(upstream_ca: str | None, verify: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif upstream_ca is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(upstream_ca)
        except ssl.SSLError:
            raise ValueError(f"tls.upstream_ca: {upstream_ca} holds no certificate") from None
    return context


class TlsSocket:
    """A connected, non-blocking socket with TLS on it. What it is asked for, and what it raises, is as with a
    plain one: BlockingIOError where it has to wait, else another OSError."""

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, server_side: bool, server_name: str | None = None
    ) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_name)
        self._unsent = b""  # ciphertext that the socket did not take yet
        self._owed = 0  # bytes that it is of, and that were not told as sent
        self._over = False
        self.received = 0  # bytes of ciphertext, as the kernel counts them

    def handshake(self) -> Literal["read", "write"] | None:
        """Goes on with the handshake; tells for what of the socket it waits now, or None: it is done.

        Raises OSError.
        """
        while True:
            if not self._flush():
                return "write"
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                if not self._flush():
                    return "write"
                try:
                    self._fill()
                except BlockingIOError:
                    return "read"
            except ssl.SSLError:
                self._flush()  # the alert that tells the other side
                raise
            else:
                return None if self._flush() else "write"

    def recv(self, size: int) -> bytes:
        parts: list[bytes] = []
        while not parts and not self._over:
            try:
                while True:
                    data = self._tls.read(size)
                    if not data:
                        self._over = True
                        break
                    parts.append(data)
                    size -= len(data)
            except ssl.SSLWantReadError:
                if not parts:
                    self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                self._over = True
        with suppress(OSError):
            self._flush()  # what reading has to say, such as new keys
        if parts and self._over:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RD)  # the loop is to ask again, and to be told of the end
        return b"".join(parts)

    def recv_into(self, buffer: memoryview) -> int:
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: bytes | memoryview) -> int:
        """Returns the bytes whose ciphertext the socket has taken. After BlockingIOError the same bytes have
        to be given again, as a sender does who has not got rid of them."""
        sent = 0
        while self._flush():
            sent, self._owed = sent + self._owed, 0
            if sent == len(data):
                return sent
            self._owed = self._tls.write(memoryview(data)[sent : sent + _RECORD])
        if not sent:
            raise BlockingIOError
        return sent

    def shutdown(self, how: int) -> None:
        if how != socket.SHUT_RD and not self._owed:
            with suppress(ssl.SSLError):
                self._tls.unwrap()  # tells the other side that this is the end; its own is not waited for
            with suppress(OSError):
                self._flush()
        self._sock.shutdown(how)

    def _flush(self) -> bool:
        """Whether the socket has taken all ciphertext."""
        self._unsent += self._outgoing.read()
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            return False
        return True

    def _fill(self) -> None:
        data = self._sock.recv(_READ)
        if data:
            self.received += len(data)
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def fileno(self) -> int:
        return self._sock.fileno()
