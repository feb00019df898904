"""Real proxies, targets and runs for faults. What is "clean" is read here without any code of ours."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.ports import free_port

ROOT = Path(__file__).parents[3]
PATIENCE_S = 30.0


def until(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


class ProxyServer:
    """The embedded proxy or the real Toxiproxy; can be killed and started again at the same port."""

    def __init__(self, kind: str, *flags: str) -> None:
        self.kind, self.flags = kind, flags
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        program = (
            [sys.executable, "-m", "chaos_locust.proxy"] if self.kind == "embedded" else [str(real_server())]
        )
        self.process = subprocess.Popen(
            [*program, "-host", "127.0.0.1", "-port", str(self.port), *self.flags],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: accepts(self.port), "the proxy's API listens")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(
            urllib.request.Request(self.url + path, data, method=method), timeout=10
        ) as reply:
            text = reply.read().decode()
        return json.loads(text) if text else None

    def make(self, name: str, upstream: int) -> int:
        """A proxy in front of a local port; returns the port of the link."""
        body = {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{upstream}"}
        return int(self.ask("POST", "/proxies", body)["listen"].rpartition(":")[2])

    def toxics(self) -> list[str]:
        return [toxic["name"] for proxy in self.ask("GET", "/proxies").values() for toxic in proxy["toxics"]]

    def all_enabled(self) -> bool:
        return all(proxy["enabled"] for proxy in self.ask("GET", "/proxies").values())


def real_server() -> Path:
    path = Path(os.environ.get("TOXIPROXY_SERVER") or ROOT / ".tools" / "toxiproxy-server")
    if not path.is_file():
        pytest.skip("no real Toxiproxy server: set TOXIPROXY_SERVER or put it at .tools/toxiproxy-server")
    return path


@pytest.fixture(params=["embedded", "real"])
def proxy(request: pytest.FixtureRequest) -> Iterator[ProxyServer]:
    server = ProxyServer(request.param, "-proxy-metrics")
    yield server
    server.kill()


@pytest.fixture
def embedded() -> Iterator[ProxyServer]:
    server = ProxyServer("embedded", "-proxy-metrics")
    yield server
    server.kill()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2000")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"x" * 2000)

    do_HEAD = do_GET

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[int]:
    """The port of a web server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


class Load:
    """GETs over a link; pooled: one connection for all, as a database pool does."""

    def __init__(self, port: int, pooled: bool) -> None:
        self._port, self._pooled = port, pooled
        self._over = threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._over.wait(0.02):
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self._port, timeout=1)
                connection.request("GET", "/")
                self.sent += 1
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                if connection is not None:
                    connection.close()
                connection = None
            if connection is not None and not self._pooled:
                connection.close()
                connection = None

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def load() -> Iterator[Callable[..., Load]]:
    loads: list[Load] = []

    def start(port: int, pooled: bool = True) -> Load:
        loads.append(Load(port, pooled))
        until(lambda: loads[-1].sent, "the load runs")
        return loads[-1]

    yield start
    for each in loads:
        each.stop()


class Victim:
    """A process to kill or pause: a web server of its own, with a pid file."""

    def __init__(self, folder: Path) -> None:
        self.pidfile = folder / "victim.pid"
        self.port = free_port()
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "http.server", str(self.port), "--bind", "127.0.0.1"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pidfile.write_text(f"{self.process.pid}\n")
        until(lambda: accepts(self.port), "the victim listens")

    @property
    def state(self) -> str:
        return state_of(self.process.pid)


def state_of(pid: int) -> str:
    """The kernel's letter; empty: gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    found = Victim(tmp_path)
    yield found
    found.process.kill()
    found.process.wait()


class Run:
    """A run in a process of its own; `events` come as it is told of them."""

    def __init__(self, plan: dict[str, Any], folder: Path, state: Path, **spec: Any) -> None:
        self.folder, self.state = folder, state
        folder.mkdir(parents=True)
        spec_file = folder / "spec.json"
        spec_file.write_text(json.dumps({"run_id": folder.name, "plan": plan, "folder": str(folder), **spec}))
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("run_process.py")), str(spec_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "XDG_STATE_HOME": str(state), "PYTHONPATH": str(ROOT)},
        )
        self.seen: list[dict[str, Any]] = []
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.guardian = int(self.wait("ready")["guardian"])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(json.loads(line))

    def tell(self, do: str, **fields: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
        self.process.stdin.flush()

    def wait(self, event: str, fault: str | None = None) -> dict[str, Any]:
        """The first event of that name, of those seen already too."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            for message in self.seen:
                if message["event"] == event and (fault is None or message.get("fault") == fault):
                    return message
            with contextlib.suppress(queue.Empty):
                self.seen.append(self._queue.get(timeout=max(deadline_s - time.monotonic(), 0.01)))
                continue
            raise AssertionError(f"no {event} of {fault} among {self.seen}")

    def leases(self) -> list[str]:
        return sorted(path.name for path in self.state.rglob("*.json"))

    def written(self) -> list[tuple[str, str]]:
        """(fault, state) of the guardian's own file."""
        path = self.folder / "guardian.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [(line["fault"], line["state"]) for line in lines if line["kind"] == "fault"]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def kill_guardian(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.guardian, signal.SIGKILL)

    def guardian_is_gone(self) -> bool:
        return state_of(self.guardian) in ("", "Z")


@pytest.fixture
def start_run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(plan: dict[str, Any], **spec: Any) -> Run:
        runs.append(Run(plan, tmp_path / f"run-{len(runs)}", tmp_path / "state", **spec))
        return runs[-1]

    yield start
    for run in runs:
        run.kill()
        run.kill_guardian()


@pytest.fixture
def store(tmp_path: Path) -> Any:
    from chaos_locust.leases.store import LeaseStore

    return LeaseStore(tmp_path / "state" / "chaos-locust" / "leases")
