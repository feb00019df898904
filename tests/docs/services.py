"""The services that the pages speak of: the demo shop; for the README a database and a service."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from chaos_locust.demo.servers import as_user, minimal_environment, postgres

START_LIMIT_S = 60.0


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes], what: str) -> None:
    give_up_s = time.monotonic() + START_LIMIT_S
    while not condition():
        assert process.poll() is None, f"{what} ended at once"
        assert time.monotonic() < give_up_s, f"{what} did not start within {START_LIMIT_S:g} s"
        time.sleep(0.05)


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(30)


@contextmanager
def demo_shop(folder: Path) -> Iterator[Mapping[str, str]]:
    """The variables that plans read."""
    ready = folder / "ready.json"
    command = [
        sys.executable,
        "-m",
        "chaos_locust.demo",
        "serve",
        "--ports",
        "free",
        "--ready-file",
        str(ready),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until(ready.exists, process, "the shop")
        env: dict[str, str] = json.loads(ready.read_text())["env"]
        yield env
    finally:
        _ended(process)


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def database(folder: Path, port: int) -> Iterator[None]:
    """A PostgreSQL server at 127.0.0.1:`port` with the user `postgres`."""
    folder.chmod(0o711)
    server = postgres(folder)
    server.data.mkdir(mode=0o700)
    if server.user:
        _reachable(folder)
        os.chown(server.data, *_ids(server.user))
    # in a session of its own: it ends at the signal that we send, and at no other
    common = {
        "cwd": server.data,
        "env": minimal_environment(),
        "start_new_session": True,
        **as_user(server.user),
    }
    initdb = [
        str(server.programs / "initdb"),
        "-D",
        str(server.data),
        "-U",
        "postgres",
        "--auth=trust",
        "--no-sync",
    ]
    subprocess.run(initdb, check=True, capture_output=True, **common)  # type: ignore[call-overload]
    process: subprocess.Popen[bytes] = subprocess.Popen(
        server.command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **common
    )  # type: ignore[call-overload]
    try:
        until(lambda: listening(port), process, "PostgreSQL")
        yield
    finally:
        _ended(process)


def _ids(user: str) -> tuple[int, int]:
    import pwd

    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


def _reachable(folder: Path) -> None:
    """The server's user has to get through to its folder; pytest keeps what is above for itself."""
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


@contextmanager
def service(port: int, database_url: str) -> Iterator[None]:
    """An HTTP service at 127.0.0.1:`port` that asks its database for every request."""
    program = Path(__file__).with_name("service.py")
    process = subprocess.Popen(
        [sys.executable, str(program), str(port)], env={**os.environ, "DATABASE_URL": database_url}
    )
    try:
        until(lambda: listening(port), process, "the service")
        yield
    finally:
        _ended(process)
