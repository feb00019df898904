"""What real programs make of files that are missing, forbidden, spoiled, and of a disk without room."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

import chaos_locust
from chaos_locust import ChaosExperiment
from tests.crash.cell import NotHere
from tests.crash.cells_files import file_system
from tests.servers.redis import NoServer, program

from .conftest import ROOT, until

_NOBODY = 65534

# A web server that keeps what it is sent: PUT writes beside the file and renames; an error is told as one.
_KEEPER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        try:
            with open(self.path[1:], "rb") as file:
                self.answer(200, file.read())
        except FileNotFoundError as error:
            self.answer(404, error.strerror.encode())
        except OSError as error:
            self.answer(503, error.strerror.encode())
    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            with open(self.path[1:] + ".new", "wb") as file:
                file.write(body)
            os.replace(file.name, self.path[1:])
            self.answer(201)
        except OSError as error:
            try:
                os.unlink(self.path[1:] + ".new")
            except FileNotFoundError:
                pass
            self.answer(507, error.strerror.encode())
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
server.serve_forever()
"""


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


class Keeper:
    """The server, in a folder, as a user without root's rights."""

    def __init__(self, folder: Path, pidfile: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [sys.executable, "-I", "-S", "-c", _KEEPER, str(self.port)]
        self.process = subprocess.Popen(command, cwd=folder)
        pidfile.write_text(str(self.process.pid))
        until(lambda: self.process.poll() is not None or self.ask("GET", "/") is not None, "it answers")

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes] | None:
        """None: no answer."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            link.request(method, path, body)
            reply = link.getresponse()
            return reply.status, reply.read()
        except OSError:
            return None
        finally:
            link.close()


@contextmanager
def keeper(folder: Path) -> Iterator[Keeper]:
    with tempfile.TemporaryDirectory() as own:
        os.chmod(own, 0o755)
        server = Keeper(folder, Path(own) / "pid")
        try:
            yield server
            assert server.process.poll() is None, "it lives on"
        finally:
            server.process.kill()
            server.process.wait()


@pytest.fixture
def place() -> Iterator[Path]:
    """Of the user who serves it."""
    with tempfile.TemporaryDirectory(prefix="requirement-") as made:
        for name in ("needed", "other"):
            (Path(made) / name).write_bytes(name.encode())
        if os.geteuid() == 0:
            for path in (Path(made), *Path(made).iterdir()):
                os.chown(path, _NOBODY, _NOBODY)
        yield Path(made)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("file_missing", (404, b"No such file or directory")),
        ("permission_denied", (503, b"Permission denied")),
    ],
)
def test_a_file_that_cannot_be_had_is_told_and_the_rest_is_served(
    place: Path, kind: str, answer: tuple[int, bytes]
) -> None:
    with keeper(place) as server:
        assert server.ask("GET", "/needed") == (200, b"needed")
        with chaos_locust.inject(kind, target="it", targets={"it": {"path": str(place / "needed")}}):
            assert server.ask("GET", "/needed") == answer
            assert server.ask("GET", "/other") == (200, b"other")
        assert server.ask("GET", "/needed") == (200, b"needed")


def test_a_full_disk_refuses_writes_and_leaves_no_part_of_one() -> None:
    """By the experiment's own fault: nothing is free, ENOSPC is met, reads go on, and all is back after."""
    try:
        with file_system() as disk, ExitStack() as stack:
            os.chmod(disk, 0o777)
            server = stack.enter_context(keeper(disk))
            (fault,) = ChaosExperiment.disk_exhaustion(
                {
                    "name": "a small service",
                    "host": f"http://127.0.0.1:{server.port}",
                    "targets": {"web": {"path": str(disk)}},
                    "load": {"soak": {"rate": "20/s", "for": "60s"}},
                    "warm_up": "2s",
                    "baseline": "8s",
                    "objectives": ["error_rate < 50% during run"],
                },
                "web",
            ).plan.faults
            assert server.ask("PUT", "/old", b"old" * 10_000) == (201, b"")
            before = os.statvfs(disk).f_bavail
            with chaos_locust.inject(fault, targets={"web": {"path": str(disk)}}):
                assert os.statvfs(disk).f_bavail == 0
                for name in ("/new", "/old"):
                    assert server.ask("PUT", name, b"new" * 10_000) == (507, b"No space left on device")
                assert server.ask("GET", "/old") == (200, b"old" * 10_000)
                assert sorted(os.listdir(disk)) == ["old"]
            assert os.statvfs(disk).f_bavail == before
            assert server.ask("PUT", "/old", b"new" * 10_000) == (201, b"")
            assert server.ask("GET", "/old") == (200, b"new" * 10_000)
    except NotHere as reason:
        pytest.skip(str(reason))


def test_a_spoiled_file_is_found_by_its_checksum_and_not_used(place: Path) -> None:
    """Valkey's snapshot has a checksum; it does not start with one that is wrong, and does with the right."""
    try:
        command = [program("valkey"), "--save", "", "--bind", "127.0.0.1", "--dir", str(place)]
    except NoServer as error:
        pytest.skip(f"needs Valkey: {error}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def run(*commands: bytes) -> tuple[str, bytes]:
        """What it said and answered, started and ended again."""
        process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.PIPE)
        link, answer = None, b""
        try:

            def up() -> bool:
                nonlocal link
                try:
                    link = socket.create_connection(("127.0.0.1", port), 1)
                except OSError:
                    return process.poll() is not None
                return True

            until(up, "it listens, or has ended")
            if link is not None:
                with link, contextlib.suppress(OSError):  # it listens before it reads its file
                    for each in commands:
                        link.sendall(each + b"\r\n")
                        answer += link.recv(100_000)
        finally:
            process.terminate()
            said = process.communicate()[0].decode(errors="replace")
        return said, answer

    stored = b"0123456789" * 400
    run(b"CONFIG SET rdbcompression no", b"SET stored " + stored, b"SAVE")
    snapshot = place / "dump.rdb"
    if os.geteuid() == 0:
        os.chown(snapshot, _NOBODY, _NOBODY)
    target = {"it": {"path": str(snapshot)}}
    assert stored in run(b"GET stored")[1]
    with chaos_locust.inject("file_corrupt", target="it", targets=target, runs=3):
        said, answer = run(b"GET stored")
        assert "CRC" in said or "checksum" in said.lower() or "Bad file format" in said, said
        assert answer == b""
    assert stored in run(b"GET stored")[1]


# -- the shop on a small disk ---------------------------------------------------------------------------


@pytest.fixture
def shop_on_disk() -> Iterator[tuple[Path, dict[str, str]]]:
    with ExitStack() as stack:
        if os.geteuid() != 0:
            pytest.skip("needs root, to mount a small file system")
        outer = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-disk-")))
        os.chmod(outer, 0o755)
        disk = outer / "disk"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=200M,mode=0777", "requirement", str(disk)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a file system")
        stack.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=True)
        ready = outer / "ready.json"
        serve = [sys.executable, "-m", "chaos_locust.demo", "serve", "--ports", "free"]
        process = subprocess.Popen(
            [*serve, "--ready-file", str(ready)],
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(disk)},
        )
        try:
            until(lambda: ready.exists() or process.poll() is not None, "the shop is ready", 60)
            yield disk, json.loads(ready.read_text())["env"]
        finally:
            process.terminate()
            process.wait(30)


def test_a_full_disk_below_the_shop_is_told_by_it_and_nothing_crashes(
    shop_on_disk: tuple[Path, dict[str, str]],
) -> None:
    """Its database and its payments have no room: orders are refused as such, and products are served."""
    disk, shop = shop_on_disk
    state = Path(shop["SHOP_STATE"])

    def running() -> dict[str, tuple[int, float]]:
        pids = {path.name: int(path.read_text()) for path in state.glob("*.pid")}
        return {name: (pid, psutil.Process(pid).create_time()) for name, pid in pids.items()}

    with httpx.Client(base_url=shop["SHOP_URL"], trust_env=False, timeout=10) as client:
        login = {"user": "alice", "password": "wonderland"}
        headers = {"Authorization": f"Bearer {client.post('/login', json=login).json()['token']}"}
        acknowledged: list[str] = []

        def order() -> int:
            reply = client.post("/orders", json={"product_id": 1, "quantity": 1}, headers=headers)
            if reply.is_success:
                acknowledged.append(reply.json()["id"])
            return reply.status_code

        until(lambda: order() == 201, "orders are placed")
        before = running()
        assert len(before) == 7
        with chaos_locust.inject("disk_full", target="it", targets={"it": {"path": str(disk)}}):
            assert os.statvfs(disk).f_bavail == 0
            statuses = []
            ends_s = time.monotonic() + 20
            while statuses.count(503) < 3 and time.monotonic() < ends_s:
                statuses.append(order())
            assert set(statuses) <= {201, 503}, statuses
            assert statuses.count(503) >= 3, "a write that cannot be done is told"
            assert client.get("/products").status_code == 200
            assert running() == before
        until(lambda: order() == 201, "orders are placed again")
        assert running() == before, "nothing has crashed and was started anew"
        found = [client.get(f"/orders/{each}", headers=headers).status_code for each in acknowledged]
        assert set(found) == {200}, "what was acknowledged is there"
