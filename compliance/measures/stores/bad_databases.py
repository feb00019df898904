"""Databases that do everything wrong, for positive controls: just as much of the protocols of PostgreSQL and
Redis as the measures speak, on loopback, in threads of this process.

Nothing is encrypted, and nobody is kept out: PostgreSQL's `app` needs no password, its `admin` has its own
name as password; Redis takes every password and none.
"""

from __future__ import annotations

import json
import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
JSON_OID = 114
APP, ADMIN = "app", "admin"
ANSWERS: Mapping[str, Any] = {
    "role": {"powers": ["superuser"], "owns": ["database shop"]},
    "encryption": {"encryption": "md5", "may_see": True},
    "weak": ["app"],
    "settings": {
        "log_connections": "off",
        "log_disconnections": "off",
        "log_statement": "none",
        "pgaudit": "",
        "ssl": "off",
        "listen_addresses": "*",
        "may_see": True,
    },
    "rules": [{"type": "host", "database": ["all"], "user_name": ["all"], "address": "0.0.0.0",
               "netmask": "0.0.0.0", "auth_method": "trust"}],
}  # fmt: skip
"""By the word in the comment that a query begins with."""


@contextmanager
def bad_postgres() -> Iterator[str]:
    """Its address, as `admin`."""
    with _serving(_Postgres) as port:
        yield f"postgresql://{ADMIN}:{ADMIN}@127.0.0.1:{port}/shop?sslmode=prefer"


@contextmanager
def bad_redis() -> Iterator[str]:
    with _serving(_Redis) as port:
        yield f"redis://127.0.0.1:{port}/0"


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up."""


@contextmanager
def _serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _Postgres(socketserver.StreamRequestHandler):
    """https://www.postgresql.org/docs/current/protocol-message-formats.html"""

    disable_nagle_algorithm = True  # else each small message waits for the client to say that it has the last

    def handle(self) -> None:
        if not self._let_in():
            return
        query = ""
        while kind := self.rfile.read(1):
            (length,) = struct.unpack("!i", self.rfile.read(4))
            body = self.rfile.read(length - 4)
            match kind:
                case b"X":
                    return
                case b"Q":
                    self._answer(body.rstrip(b"\0").decode())
                    self._send(b"Z", b"I")
                case b"P":
                    query = body.split(b"\0")[1].decode()
                    self._send(b"1")
                case b"B":
                    self._send(b"2")
                case b"E":
                    self._answer(query)
                case b"S":
                    self._send(b"Z", b"I")

    def _let_in(self) -> bool:
        while True:
            length, code = struct.unpack("!ii", self.rfile.read(8))
            if code not in (SSL_REQUEST, GSS_REQUEST):
                break
            self.wfile.write(b"N")
        words = self.rfile.read(length - 8).decode().split("\0")
        user = dict(zip(words[::2], words[1::2], strict=False))["user"]
        if user != APP:
            self._send(b"R", struct.pack("!i", 3))  # the password, as plain text
            self.rfile.read(1)
            (length,) = struct.unpack("!i", self.rfile.read(4))
            if self.rfile.read(length - 4).rstrip(b"\0").decode() != user:
                self._send(b"E", b"SFATAL\0C28P01\0Mwrong password\0\0")
                return False
        self._send(b"R", struct.pack("!i", 0))
        for name, value in (("server_version", "9.6"), ("client_encoding", "UTF8")):
            self._send(b"S", f"{name}\0{value}\0".encode())
        self._send(b"Z", b"I")
        return True

    def _answer(self, query: str) -> None:
        answer = next((each for word, each in ANSWERS.items() if query.startswith(f"/* {word} */")), None)
        if answer is not None:
            row = json.dumps(answer).encode()
            self._send(
                b"T", struct.pack("!h", 1) + b"found\0" + struct.pack("!ihihih", 0, 0, JSON_OID, -1, -1, 0)
            )
            self._send(b"D", struct.pack("!hi", 1, len(row)) + row)
        self._send(b"C", b"SELECT 1\0")

    def _send(self, kind: bytes, body: bytes = b"") -> None:
        self.wfile.write(kind + struct.pack("!i", len(body) + 4) + body)


class _Redis(socketserver.StreamRequestHandler):
    """https://redis.io/docs/latest/develop/reference/protocol-spec/"""

    def handle(self) -> None:
        while head := self.rfile.readline():
            words = []
            for _ in range(int(head[1:])):
                length = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(length + 2)[:-2].decode())
            self.wfile.write(self._answer([each.upper() for each in words]))

    def _answer(self, words: list[str]) -> bytes:
        match words:
            case ["GET", _]:
                return b"$-1\r\n"
            case ["ACL", "WHOAMI"]:
                return b"$7\r\ndefault\r\n"
            case ["CONFIG", "GET", "BIND"]:
                return b"*2\r\n$4\r\nbind\r\n$7\r\n0.0.0.0\r\n"
            case ["CONFIG", "GET", name]:
                return f"*2\r\n${len(name)}\r\n{name.lower()}\r\n$0\r\n\r\n".encode()
        return b"+OK\r\n"
