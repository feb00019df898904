"""Servers for the proxy's tests: the embedded proxy always, the real Toxiproxy where there is one."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from bench.ports import free_port

ROOT = Path(__file__).parents[3]
PATIENCE_S = 20.0


class Reply(NamedTuple):
    status: int
    content_type: str | None
    body: str
    headers: list[str]


class Server:
    """A running proxy server and a client of its API. `kind` is "embedded" or "real"."""

    def __init__(self, kind: str, *flags: str) -> None:
        self.kind = kind
        self.port = free_port()
        command = [sys.executable, "-m", "chaos_locust.proxy"] if kind == "embedded" else [str(real_binary())]
        self.process = subprocess.Popen(
            [*command, "-host", "127.0.0.1", "-port", str(self.port), *flags],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: can_connect(self.port), "the API listens")
        self._http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        self._http.request(method, path, body, headers or {})
        reply = self._http.getresponse()
        text = reply.read().decode()
        usual = ("date", "content-length", "content-type")
        names = sorted(name for name, _ in reply.getheaders() if name.lower() not in usual)
        return Reply(reply.status, reply.getheader("Content-Type"), text, names)

    def do(self, method: str, path: str, document: Any = None) -> Any:
        """A request that must succeed; returns the reply's JSON."""
        reply = self.request(method, path, None if document is None else json.dumps(document).encode())
        assert reply.status < 300, reply
        return json.loads(reply.body) if reply.body else None

    def proxy(self, upstream_port: int, name: str = "p") -> int:
        """Creates a proxy and returns the port it listens on."""
        document = {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{upstream_port}"}
        return int(self.do("POST", "/proxies", document)["listen"].rpartition(":")[2])

    def toxic(self, kind: str, stream: str = "downstream", toxicity: float = 1, **attributes: int) -> str:
        """Adds a toxic to proxy `p` and returns its path."""
        document = {"type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        return f"/proxies/p/toxics/{self.do('POST', '/proxies/p/toxics', document)['name']}"

    def clear(self) -> None:
        for name in self.do("GET", "/proxies"):
            self.request("DELETE", f"/proxies/{quote(name, safe='')}")

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def close(self) -> int:
        self._http.close()
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


class Upstream:
    """An echo server; after the client has finished sending it says `bye` and closes."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._listener.getsockname()[1]
        self.ends: list[str] = []  # how each connection ended, as seen from here
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client:
                while data := client.recv(65536):
                    client.sendall(data)
                client.sendall(b"bye")
            self.ends.append("closed")
        except ConnectionResetError:
            self.ends.append("reset")
        except OSError:
            self.ends.append("broken")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def can_connect(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.01)


def real_binary() -> Path | None:
    path = Path(os.environ.get("TOXIPROXY_SERVER") or ROOT / ".tools" / "toxiproxy-server")
    return path if path.is_file() else None


def _need_real() -> None:
    if real_binary() is None:
        pytest.skip("no real Toxiproxy server: set TOXIPROXY_SERVER or put it at .tools/toxiproxy-server")


@pytest.fixture(scope="session")
def _servers() -> Iterator[dict[str, Server]]:
    servers: dict[str, Server] = {}
    yield servers
    for server in servers.values():
        server.close()


def _get(servers: dict[str, Server], kind: str) -> Server:
    if kind == "real":
        _need_real()
    if kind not in servers:
        servers[kind] = Server(kind)
    servers[kind].clear()
    return servers[kind]


@pytest.fixture
def embedded(_servers: dict[str, Server]) -> Server:
    """The embedded proxy without any proxies."""
    return _get(_servers, "embedded")


@pytest.fixture
def real(_servers: dict[str, Server]) -> Server:
    """The real server without any proxies."""
    return _get(_servers, "real")


@pytest.fixture(params=["embedded", "real"])
def server(request: pytest.FixtureRequest, _servers: dict[str, Server]) -> Server:
    """Both servers in turn, without any proxies."""
    return _get(_servers, request.param)


@pytest.fixture
def start() -> Iterator[Any]:
    """Starts a fresh server: `start("embedded", "-proxy-metrics")`; ends an earlier one of that kind."""
    started: list[Server] = []

    def begin(kind: str, *flags: str) -> Server:
        if kind == "real":
            _need_real()
        for one in [one for one in started if one.kind == kind]:
            started.remove(one)
            one.close()
        started.append(Server(kind, *flags))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def connect() -> Iterator[Any]:
    """Opens client sockets that are closed at the end: `connect(port)`."""
    with contextlib.ExitStack() as stack:

        def open_(port: int) -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))

        yield open_


@pytest.fixture
def wait_until() -> Any:
    """`wait_until(condition, what)` fails if the condition does not come true."""
    return until


@pytest.fixture
def choose_free_port() -> Any:
    """`choose_free_port()` never returns the same port twice."""
    chosen: set[int] = set()

    def choose() -> int:
        while (port := free_port()) in chosen:
            pass
        chosen.add(port)
        return port

    return choose
