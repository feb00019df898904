"""A site that tells what it was asked, and remembers it. Python's own HTTP server, in threads."""

from __future__ import annotations

import gzip
import json
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


class Site:
    """`asked`: every request, in order, as `/echo` tells it; `port` is that of the client's end.

    Paths: /echo, /status/N, /redirect/N?to=, /cookie?set=, /gzip, /lines, /large, /text. With `context` it
    speaks TLS.
    """

    def __init__(self, context: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self.asked: list[dict[str, Any]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: Any) -> None:
                """Nothing to the terminal."""

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.answer
                raise AttributeError(name)

            def answer(self) -> None:
                told = self.told()
                site.asked.append(told)
                parts = urlsplit(self.path)
                given = dict(parse_qsl(parts.query))
                what, _, number = parts.path.lstrip("/").partition("/")
                status, headers, body = 200, {"Content-Type": "application/json"}, json.dumps(told).encode()
                if what == "status":
                    status = int(number)
                elif what == "redirect":
                    status, headers = int(number), {"Location": given["to"]}
                elif what == "cookie":
                    headers["Set-Cookie"] = given["set"]
                elif what == "gzip":
                    headers["Content-Encoding"], body = "gzip", gzip.compress(body)
                elif what == "lines":
                    body = b"one\ntwo\nthr\xc3\xa9e"
                elif what == "large":
                    body = b"0123456789" * 30_000
                elif what == "text":
                    headers["Content-Type"], body = given["type"], bytes.fromhex(given["hex"])
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status not in (204, 304):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD" and status not in (204, 304):
                    self.wfile.write(body)

            def told(self) -> dict[str, Any]:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = b""
                    while length := int(self.rfile.readline(), 16):
                        body += self.rfile.read(length)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                return {
                    "method": self.command,
                    "path": self.path,
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "body": body.decode("latin-1"),
                    "port": self.client_address[1],
                }

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = 10 if ":" in address else 2

            def handle_error(self, *_: Any) -> None:
                """A client that goes away is no error."""

        self._server = Server((address, 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        host = f"[{address}]" if ":" in address else address
        self.url = f"{'http' if context is None else 'https'}://{host}:{self.port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
