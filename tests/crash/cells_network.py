"""Every fault on a TCP link, each on a proxy and an echo server of its own, felt by a plain socket."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.crash.cell import Case, Cell

_ROOT = Path(__file__).parents[2]
_LIMIT_S = 10.0
_DELAY_S = 0.6
_SIZE = 600
"""Bytes of one question and of its answer."""


class ProxyProcess:
    """A proxy server in a process of its own, asked with nothing but urllib."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "chaos_locust.proxy", "-host", "127.0.0.1", "-port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "-proxy-metrics"], cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + 3 * _LIMIT_S
        while True:
            with contextlib.suppress(OSError):
                self.ask("/version")
                return
            if time.monotonic() > deadline_s or self.process.poll() is not None:
                self.close()
                raise RuntimeError("the proxy did not start")
            time.sleep(0.02)

    def ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.url + path, data, timeout=_LIMIT_S) as reply:
            return json.loads(reply.read())

    def make(self, name: str, upstream: int) -> int:
        """A proxy in front of a local port; returns the port of the link."""
        document = {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{upstream}"}
        return int(self.ask("/proxies", document)["listen"].rpartition(":")[2])

    def marks(self) -> str:
        """Toxics and proxies that carry our mark; and proxies that are off."""
        found: list[str] = []
        for name, proxy in self.ask("/proxies").items():
            found += [name] if name.startswith("chaos-") else []
            found += [t["name"] for t in proxy["toxics"] if t["name"].startswith("chaos-")]
            found += [] if proxy["enabled"] else [f"{name} (off)"]
        return ", ".join(found)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running_proxy() -> Iterator[ProxyProcess]:
    proxy = ProxyProcess()
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def _echo_server() -> Iterator[int]:
    """Sends back what it gets, and closes when the client has finished."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while data := client.recv(65536):
                client.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


class Felt:
    """One question over the link: `received` bytes, the last of them after `answer_s`, the end of the
    connection after `closed_s` (None: it did not come), `error` of the connection."""

    def __init__(self, port: int) -> None:
        self.received, self.pieces, self.error = 0, 0, ""
        self.answer_s: float | None = None
        self.closed_s: float | None = None
        begin_s = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2 * _DELAY_S) as link:
                link.sendall(b"x" * _SIZE)
                while self.received < _SIZE and (data := link.recv(65536)):
                    self.received, self.pieces = self.received + len(data), self.pieces + 1
                if self.received == _SIZE:
                    self.answer_s = time.monotonic() - begin_s
                    link.shutdown(socket.SHUT_WR)
                    link.recv(1)
                self.closed_s = time.monotonic() - begin_s
        except TimeoutError:
            self.error = "silence"
        except ConnectionRefusedError:
            self.error = "refused"
        except OSError:
            self.error = "reset"

    @property
    def healthy(self) -> bool:
        """The whole answer, and the end of the connection."""
        return not self.error and self.received == _SIZE

    def later_than(self, seconds: float) -> bool:
        return self.healthy and self.answer_s is not None and self.answer_s >= seconds


def cell(kind: str, acts: Callable[[Felt], bool], **parameters: Any) -> Cell:
    @contextmanager
    def make() -> Iterator[Case]:
        with _echo_server() as upstream, running_proxy() as proxy:
            port = proxy.make("link", upstream)

            def left() -> str:
                if marks := proxy.marks():
                    return f"the proxy lists {marks}"
                felt = Felt(port)
                if acts(felt) or not felt.healthy:
                    return f"on the link: {vars(felt)}"
                return ""

            yield Case(
                targets={"link": {"proxy": "link"}},
                fault={"kind": kind, "target": "link", **parameters},
                acting=lambda: acts(Felt(port)),
                left=left,
                plan={"proxy_api": proxy.url},
            )

    return make


CELLS: dict[str, Cell] = {
    "latency": cell("latency", lambda felt: felt.later_than(_DELAY_S), latency="600ms"),
    "gradual_latency": cell(
        "gradual_latency", lambda felt: felt.later_than(_DELAY_S), **{"latency": "700ms", "from": "600ms"}
    ),
    "bandwidth": cell("bandwidth", lambda felt: felt.later_than(_DELAY_S), rate="1KB/s"),
    "timeout": cell("timeout", lambda felt: felt.error == "silence" and not felt.received),
    "reset": cell("reset", lambda felt: felt.error == "reset"),
    "slow_close": cell(
        "slow_close",
        lambda felt: (
            felt.closed_s is not None
            and felt.answer_s is not None
            and felt.closed_s - felt.answer_s >= _DELAY_S
        ),
        delay="600ms",
    ),
    "slicer": cell("slicer", lambda felt: felt.later_than(_DELAY_S), size="100B", delay="200ms"),
    "limit": cell("limit", lambda felt: felt.received == 100 and felt.closed_s is not None, bytes="100B"),
    "down": cell("down", lambda felt: felt.error == "refused"),
    "flap": cell("flap", lambda felt: felt.error == "refused", down="1s", up="500ms"),
}
