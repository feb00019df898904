"""A web server that uses what it is asked to use: hungry.py PORT PIDFILE [supervised]

GET /burn?ms=N uses N ms of CPU time; GET /child starts a process that uses CPU for as long as this one lives;
GET /grow?mb=N takes N MB more and keeps them. Connections are kept open. The pid file is written when it
listens. Supervised: it is started anew whenever it has ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(100000):
        pass
"""
grown: list[bytearray] = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {key: int(values[0]) for key, values in parse_qs(parts.query).items()}
        if parts.path == "/burn":
            until_s = time.thread_time() + asked["ms"] / 1000
            while time.thread_time() < until_s:
                pass
        elif parts.path == "/child":
            subprocess.Popen([sys.executable, "-c", _BUSY])
        elif parts.path == "/grow":
            grown.append(bytearray(os.urandom(1000)) * (asked["mb"] * 1000))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        pass


class Server(http.server.HTTPServer):
    """Goes on where there is no descriptor for a connection, as servers do, without a busy loop."""

    def get_request(self) -> tuple[socket.socket, object]:
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.05)
            raise

    def process_request(self, request: socket.socket, address: object) -> None:  # type: ignore[override]
        threading.Thread(target=self.serve, args=(request, address), daemon=True).start()

    def serve(self, request: socket.socket, address: object) -> None:
        try:
            self.finish_request(request, address)  # type: ignore[arg-type]
        except OSError:
            pass
        finally:
            self.shutdown_request(request)


def supervise(*arguments: str) -> None:
    """Runs it, and again whenever it has ended; it dies with this process."""

    def die_with_us() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    while True:
        subprocess.Popen([sys.executable, __file__, *arguments], preexec_fn=die_with_us).wait()


class Hungry:
    """The server as its tests see it: by its pid file, its port and /proc."""

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.pidfile, self.port, self.process = folder / "server.pid", port, process

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def ask(self, path: str = "/") -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        finally:
            connection.close()

    def answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            self.ask()
            return True
        return False

    def cpu_s(self) -> float:
        """CPU time used so far, with its children's."""
        ticks, family = 0, {self.pid}
        stats = [(pid, stat_of(pid)) for pid in sorted(map(int, filter(str.isdecimal, os.listdir("/proc"))))]
        for pid, fields in stats:
            if fields and (pid in family or int(fields[1]) in family):
                family.add(pid)
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def state(self) -> str:
        """The kernel's letter; empty: gone."""
        fields = stat_of(self.pid)
        return fields[0] if fields else ""


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; empty: it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def until(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


@contextmanager
def hungry(supervised: bool = False) -> Iterator[Hungry]:
    """The server, which ends with the block, as do all that it has started."""
    folder = Path(tempfile.mkdtemp())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, __file__, str(port), str(folder / "server.pid")]
    process = subprocess.Popen(command + ["supervised"] * supervised, stderr=subprocess.DEVNULL)
    server = Hungry(folder, port, process)
    try:
        until(server.answers, "the server answers")
        yield server
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[3:] == ["supervised"]:
        supervise(*sys.argv[1:3])
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    Path(sys.argv[2]).write_text(f"{os.getpid()}\n")
    server.serve_forever()
