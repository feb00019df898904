"""Every fault on published keys, each on a proxy and a key endpoint of its own, seen by a plain client."""

from __future__ import annotations

import http.server
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.crash.cell import Case, Cell
from tests.crash.cells_http import web_server
from tests.crash.cells_network import running_proxy

KEYS = json.dumps({"keys": [{"kty": "RSA", "kid": "k1", "n": "AQAB", "e": "AQAB"}]}).encode()
DELAY_S = 0.8

Answer = tuple[int, bytes, float]
"""Status, body, seconds."""


class Keys(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(KEYS)))
        self.end_headers()
        self.wfile.write(KEYS)

    def log_message(self, *args: Any) -> None:
        pass


def ask(port: int) -> Answer:
    started_s = time.monotonic()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/.well-known/jwks.json", timeout=10) as reply:
            return reply.status, reply.read(), time.monotonic() - started_s
    except urllib.error.HTTPError as error:
        return error.code, error.read(), time.monotonic() - started_s


def key_ids(body: bytes) -> list[str]:
    try:
        return [key["kid"] for key in json.loads(body)["keys"]]
    except ValueError:
        return []


def cell(kind: str, acts: Callable[[Answer], bool], **parameters: Any) -> Cell:
    @contextmanager
    def make() -> Iterator[Case]:
        with web_server(Keys) as upstream, running_proxy() as proxy:
            port = proxy.make("identity", upstream)

            def left() -> str:
                if marks := proxy.marks():
                    return f"the proxy lists {marks}"
                status, body, took_s = ask(port)
                healthy = (status, body) == (200, KEYS) and took_s < DELAY_S
                return "" if healthy else f"the keys came as {status} {body[:60]!r} after {took_s:.3f} s"

            yield Case(
                targets={"identity": {"proxy": "identity"}},
                fault={"kind": kind, "target": "identity", **parameters},
                acting=lambda: acts(ask(port)),
                left=left,
                plan={"proxy_api": proxy.url},
            )

    return make


CELLS: dict[str, Cell] = {
    "jwks_unavailable": cell("jwks_unavailable", lambda answer: answer[0] == 503),
    "jwks_slow": cell(
        "jwks_slow", lambda answer: answer[2] >= DELAY_S and answer[1] == KEYS, delay=f"{DELAY_S * 1000:g}ms"
    ),
    "jwks_corrupted": cell("jwks_corrupted", lambda answer: answer[0] == 200 and not key_ids(answer[1])),
    "jwks_rotated": cell("jwks_rotated", lambda answer: key_ids(answer[1]) not in ([], ["k1"])),
    "jwks_wrong_key_id": cell(
        "jwks_wrong_key_id", lambda answer: len(key_ids(answer[1])) == 1 and key_ids(answer[1]) != ["k1"]
    ),
}
