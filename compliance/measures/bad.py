"""A service that does everything wrong, for positive controls: HTTP on loopback, in threads of this process.

It answers every path with 200 whoever asks, echoes what it is sent, shows its versions, its stack traces
and its SQL, lets everybody log in again and again, takes every token, forgets nothing, ends no session, and
records nothing.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from compliance.target import Http, Target

TEN_YEARS_S = 10 * 365 * 86400
_TRACE = (
    'Traceback (most recent call last):\n  File "/srv/app/views.py", line 42, in post\n    cursor.execute(q)'
)
_SQL = "psycopg.errors.SyntaxError: syntax error at or near \"'\" LINE 1: SELECT * FROM users WHERE name = ''"


class BadHandler(BaseHTTPRequestHandler):
    """USER is there, with PASSWORD; nobody else is, and everybody is told so."""

    USER, PASSWORD = "admin", "admin"
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Apache/2.2.3 (CentOS)", "PHP/5.1.6"

    def do_GET(self) -> None:
        self._answer(200, {"id": "1", "user": "somebody else", "card": "4111111111111111"})

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def do_TRACE(self) -> None:
        self._answer(200, str(self.headers))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            given = json.loads(body or b"{}")
        except ValueError:
            self._answer(500, f"{_TRACE}\n{_SQL}\n{body[:200]!r}")
            return
        if self.path != "/login" or not isinstance(given, dict):
            self._answer(201, {"id": "1", **(given if isinstance(given, dict) else {})})
        elif given.get("user") != self.USER:
            self._answer(404, {"error": f"no user {given.get('user')}"})
        elif given.get("password") != self.PASSWORD:
            self._answer(401, {"error": "wrong password"})
        else:
            self._answer(200, {"access_token": unsigned_token(self.USER)})

    def _answer(self, status: int, body: Any) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Powered-By", "PHP/5.1.6")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Set-Cookie", "session=1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Nothing is printed."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, as those do whom its certificate does not please."""


def unsigned_token(user: str) -> str:
    """A JWT that anybody can make, good for ten years."""
    head = {"alg": "none", "typ": "JWT"}
    claims = {"sub": user, "role": "admin", "exp": int(time.time()) + TEN_YEARS_S}
    parts = [
        base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in (head, claims)
    ]
    return ".".join([*parts, ""])


@contextmanager
def bad_service(
    handler: type[BaseHTTPRequestHandler] = BadHandler, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Its address."""
    server = _Quiet(("127.0.0.1", 0), handler)
    if tls is not None:
        # The handshake takes place in the thread of the connection: one that fails must not end the server.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def bad_site(handler: type[BaseHTTPRequestHandler] = BadHandler) -> Iterator[Target]:
    """The service as a target that is described by its address alone."""
    with bad_service(handler) as url:
        yield Target(name="bad", http=Http(url=url))
