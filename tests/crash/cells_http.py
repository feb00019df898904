"""Every fault on HTTP messages, each on a proxy and a web server of its own, seen by a plain client."""

from __future__ import annotations

import http.client
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.crash.cell import Case, Cell
from tests.crash.cells_network import running_proxy

BODY = b"0123456789" * 50
DELAY_S = 0.8
_LIMIT_S = 10.0

Answer = tuple[int, dict[str, str], bytes, float]
"""Status, headers by lower-case name, body as far as it came, seconds."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("X-Token", self.headers.get("X-Token", "none"))
        if self.path.startswith("/chunked"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
        else:
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def web_server(handler: type[http.server.BaseHTTPRequestHandler] = Handler) -> Iterator[int]:
    """The port of a web server of this process; ours answers at / with a length, at /chunked in chunks."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Client:
    """One connection that stays open as long as it can."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT_S)
        self._lock = threading.Lock()

    def get(self, path: str = "/") -> Answer:
        with self._lock:
            begin_s = time.monotonic()
            try:
                self._connection.request("GET", path, headers={"X-Token": "mine"})
                reply = self._connection.getresponse()
            except (http.client.HTTPException, OSError):
                self._connection.close()
                raise
            try:
                body = reply.read()
            except http.client.IncompleteRead as cut:
                body = cut.partial
                self._connection.close()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            return reply.status, headers, body, time.monotonic() - begin_s

    def close(self) -> None:
        self._connection.close()


def healthy(answer: Answer) -> bool:
    status, headers, body, took_s = answer
    said = (headers.get("content-type"), headers.get("x-token"))
    return (status, body, said) == (200, BODY, ("text/plain", "mine")) and took_s < DELAY_S


def cell(kind: str, acts: Callable[[Answer], bool], **parameters: Any) -> Cell:
    @contextmanager
    def make() -> Iterator[Case]:
        with web_server() as upstream, running_proxy() as proxy:
            client = Client(proxy.make("web", upstream))

            def left() -> str:
                if marks := proxy.marks():
                    return f"the proxy lists {marks}"
                answer = client.get()
                return "" if healthy(answer) else f"an answer is {answer[:2]} after {answer[3]:.3f} s"

            try:
                yield Case(
                    targets={"web": {"proxy": "web"}},
                    fault={"kind": kind, "target": "web", **parameters},
                    acting=lambda: acts(client.get()),
                    left=left,
                    plan={"proxy_api": proxy.url},
                )
            finally:
                client.close()

    return make


def _changed(body: bytes) -> int:
    return sum(a != b for a, b in zip(body, BODY, strict=True)) if len(body) == len(BODY) else 0


CELLS: dict[str, Cell] = {
    "http_status": cell("http_status", lambda a: (a[0], a[2]) == (503, b"busy"), status=503, body="busy"),
    "http_delay": cell("http_delay", lambda a: a[3] >= DELAY_S, delay=f"{DELAY_S * 1000:g}ms"),
    "http_slow_body": cell("http_slow_body", lambda a: a[2] == BODY and a[3] >= DELAY_S, rate="500B/s"),
    "http_truncate": cell("http_truncate", lambda a: a[0] == 200 and a[2] == BODY[:100], bytes="100B"),
    "http_corrupt": cell("http_corrupt", lambda a: a[0] == 200 and _changed(a[2]) == 5, every="100B"),
    "http_header": cell(
        "http_header",
        lambda a: (a[1].get("content-type"), a[1].get("x-token")) == ("text/html", "none") and a[2] == BODY,
        request_headers={"X-Token": None},
        response_headers={"Content-Type": "text/html"},
    ),
    "http_body": cell(
        "http_body",
        lambda a: (a[0], a[2]) == (200, b'{"keys": []}'),
        body='{"keys": []}',
        content_type="application/json",
    ),
}
