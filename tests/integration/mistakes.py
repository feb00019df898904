"""Where a plan with a mistake is tried, and what has to come of it: see `test_bad_input.py`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import chaos_locust
from bench.ports import free_port

from .load_target import Target

PLAIN = Path(chaos_locust.__file__).parent / "locust_plugin" / "plain.py"
COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
LOCUST = (sys.executable, "-m", "locust")
LIMIT_S = 60.0
EXIT_USAGE = 2


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


@contextmanager
def proxy_server(*flags: str) -> Iterator[str]:
    """The URL of an embedded proxy that has one proxy, `db`."""
    port = free_port()
    command = [sys.executable, "-m", "chaos_locust.proxy", "-host", "127.0.0.1", "-port", str(port), *flags]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        give_up_s = time.monotonic() + LIMIT_S
        while not accepts(port):
            assert time.monotonic() < give_up_s, "the proxy did not start"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@dataclass
class Place:
    """Where a plan is tried: a folder, a target that remembers its requests, a proxy, variables."""

    folder: Path
    target: Target
    api: str
    api_without_metrics: str

    @property
    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k != "LOCUST_SKIP_MONKEY_PATCH"}
        return {**kept, "XDG_STATE_HOME": str(self.folder / "state")}

    @property
    def plan(self) -> dict[str, Any]:
        """A plan that could run."""
        config = [{"name": "db", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9", "enabled": True}]
        for api in (self.api, self.api_without_metrics):
            _post(f"{api}/populate", config)
        return {
            "name": "mistakes",
            "host": self.target.url,
            "proxy_api": self.api,
            "targets": {"db": {"proxy": "db"}},
            "load": [{"step": "base", "rate": "20/s", "for": "10s"}],
            "warm_up": "1s",
            "baseline": "1s",
            "timeout": "1s",
            "faults": [self.fault("slow", at="4s", length="2s")],
            "objectives": ["error_rate < 50% during baseline"],
        }

    @staticmethod
    def fault(name: str, at: str, length: str) -> dict[str, Any]:
        return {"name": name, "kind": "latency", "target": "db", "latency": "9ms", "at": at, "for": length}

    def write(self, plan: Mapping[str, Any] | str) -> Path:
        path = self.folder / "plan.yaml"
        path.write_text(plan if isinstance(plan, str) else json.dumps(plan))
        return path

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """What it prints goes to the file `name`."""
        with (self.folder / name).open("wb") as output:
            return subprocess.Popen(command, stdout=output, stderr=output, cwd=self.folder, env=self.environ)

    def processes(self) -> dict[int, str]:
        """Everything that was started from here and still lives."""
        found, mark = {}, f"XDG_STATE_HOME={self.folder / 'state'}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().decode().replace("\0", " ")
        return found


def toxics(api: str) -> list[str]:
    with urllib.request.urlopen(f"{api}/proxies", timeout=10) as reply:
        return [toxic["name"] for proxy in json.loads(reply.read()).values() for toxic in proxy["toxics"]]


def _post(url: str, body: Any) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=10) as reply:
        reply.read()


def refused(place: Place, plan: Mapping[str, Any] | str, *said: str, results: Path | None = None) -> None:
    """Each of the three commands tells the one mistake in one line that has these words, and ends with 2."""
    path, requests = str(place.write(plan)), len(place.target.log())
    folder = str(results or place.folder / "results")
    commands = {
        "check": [*COMMAND, "check", path, "--results", folder],
        "run": [*COMMAND, "run", path, "--results", folder],
        "locust": [*LOCUST, "-f", str(PLAIN), "--headless", "--chaos-plan", path, "--chaos-results", folder],
    }
    started = {name: place.start(name, command) for name, command in commands.items()}
    for name, process in started.items():
        code, output = process.wait(LIMIT_S), (place.folder / name).read_text()
        assert code == EXIT_USAGE, f"{name}: exit code {code}\n{output}"
        assert "Traceback" not in output, f"{name}:\n{output}"
        told = [line for line in output.splitlines() if line.startswith("chaos-locust: ")]
        assert len(told) == 1, f"{name}: {told}\n{output}"
        assert all(words in told[0] for words in said), f"{name}: {told[0]!r} does not have all of {said}"
        assert len(told[0]) < 400, f"{name}: {told[0]!r} is no one line that anybody reads"
    assert not place.processes()
    assert len(place.target.log()) == requests, "the target got requests"
    assert not (place.folder / "results").exists(), "there is a folder of results"


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount a file system: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
