"""A web server under a clock of its own, which is asked for the time."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .cell import Case, Cell, NotHere

_LIMIT_S = 15.0
_RIGHT_S = 0.01

# What it says by itself has a finer clock than its Date header.
_SERVER = """
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        told = repr(time.time()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(told)
    do_HEAD = do_GET
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Clocked:
    """The server, and a client that uses it all the time; `ahead` is what it says of its clock."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.pidfile = folder / "clock", folder / "pid"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        starter = [
            sys.executable,
            "-c",
            "from chaos_locust.cli import main; main()",
            "clock",
            str(self.clock),
        ]
        self.process = subprocess.Popen(
            [*starter, "--", sys.executable, "-I", "-S", "-c", _SERVER, str(self.port)],
            stderr=subprocess.PIPE,
        )
        self.pidfile.write_text(str(self.process.pid))
        self._over = threading.Event()
        self._load = threading.Thread(target=self._use, daemon=True)

    def start(self) -> None:
        give_up_s = time.monotonic() + _LIMIT_S
        while self.process.poll() is None and time.monotonic() < give_up_s:
            with suppress(OSError):
                self.ahead()
                self._load.start()
                return
            time.sleep(0.02)
        assert self.process.stderr is not None
        raise AssertionError(f"the server did not start: {self.process.stderr.read1().decode()}")

    def ahead(self) -> float:
        """Seconds at least, by what the server itself says; 0: it may be right."""
        asked_s, told_s, answered_s = self.ask()
        return max(told_s - answered_s, 0.0) + min(told_s - asked_s, 0.0)

    def is_ahead(self, offset_s: float) -> bool:
        """As exactly as asking takes."""
        asked_s, told_s, answered_s = self.ask()
        return told_s - answered_s - _RIGHT_S <= offset_s <= told_s - asked_s + _RIGHT_S

    def ask(self) -> tuple[float, float, float]:
        """When it was asked, what it said, when the answer came: seconds since 1970."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            asked_s = time.time()
            link.request("GET", "/")
            return asked_s, float(link.getresponse().read()), time.time()
        finally:
            link.close()

    def stop(self) -> None:
        self._over.set()
        self.process.kill()
        self.process.wait()
        if self._load.is_alive():
            self._load.join()
        for name in (f"faketime_shm_{self.process.pid}", f"sem.faketime_sem_{self.process.pid}"):
            (Path("/dev/shm") / name).unlink(missing_ok=True)

    def _use(self) -> None:
        while not self._over.wait(0.05):
            with suppress(OSError, http.client.HTTPException):
                self.ahead()


@contextmanager
def clocked() -> Iterator[Clocked]:
    if not any(Path("/usr").glob("lib*/**/faketime/libfaketimeMT.so.1")):
        raise NotHere("needs libfaketime (Debian: apt-get install faketime)")
    with tempfile.TemporaryDirectory(prefix="clock-cell-") as folder:
        server = Clocked(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


def wrong(kind: str, **parameters: Any) -> Cell:
    @contextmanager
    def cell() -> Iterator[Case]:
        with clocked() as server:
            target = {"clock": str(server.clock), "pidfile": str(server.pidfile)}

            def acting() -> bool:
                """One that jumps is right for half of the time; one that drifts or stands is soon wrong."""
                return abs(server.ahead()) > _RIGHT_S

            def left() -> str:
                off_s = server.ahead()
                draft = [name for name in os.listdir(server.clock.parent) if name.startswith(".")]
                if draft:
                    return f"{draft[0]} beside the clock"
                if abs(off_s) > _RIGHT_S:
                    return f"the clock is {off_s:.3f} s ahead"
                said = server.clock.read_text()
                return (
                    f"the clock's file says {said!r}" if "chaos-" in said.replace("chaos-locust", "") else ""
                )

            yield Case({"it": target}, {"kind": kind, "target": "it", **parameters}, acting, left)

    return cell


CELLS: dict[str, Cell] = {
    "clock_skew": wrong("clock_skew", offset="-120s"),
    "clock_jump": wrong("clock_jump", offset="1h", every="1s"),
    "clock_freeze": wrong("clock_freeze"),
    "clock_drift": wrong("clock_drift", rate="20%"),
}
