"""Pressure of several kinds at once, and pressure with many at once: all of it acts, and nobody starves."""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

import chaos_locust
from tests.crash.cell import NotHere
from tests.crash.cells_files import file_system
from tests.crash.cells_process import holders
from tests.crash.cells_resources import cgroups, resident_mb, writable
from tests.servers.hungry import Hungry, hungry, until

from .test_faults.conftest import ProxyServer

LIMIT_S = 30

SHARE, SIZE_MB = 0.43, 207  # such as no other fault of a test has
WINDOW_S = 1.5
SAMPLE_S = 0.5

CLIENTS = 40
ANSWERS = 60 * CLIENTS
FAIREST = 0.9
"""Jain's index of the requests that each client got answered: 1 where all got as many, 1/n where one got all.
Clients of a server that takes turns come to more than this; if a quarter of them gets hardly any, it is 0.75.
"""


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def server() -> Iterator[Hungry]:
    with hungry() as found:
        yield found


class Series:
    """(share of a core that is burnt, memory that is held in MB, share of the disk that is used), by time."""

    def __init__(self, disk: Path) -> None:
        self._disk, self._over = disk, threading.Event()
        self.samples: list[tuple[float, float, float, float]] = []
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Series:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def all_elevated_s(self) -> float:
        """The longest time in which all three were elevated in each sample."""
        longest_s, since_s = 0.0, None
        for at_s, cpu, memory_mb, disk in self.samples:
            if cpu > SHARE / 5 and memory_mb > SIZE_MB * 0.9 and disk > 0.99:
                since_s = at_s if since_s is None else since_s
                longest_s = max(longest_s, at_s - since_s)
            else:
                since_s = None
        return longest_s

    def _sample(self) -> None:
        used_s, last_s = cpu_times_s(), time.monotonic()
        while not self._over.wait(SAMPLE_S):
            now_s, now_used_s = time.monotonic(), cpu_times_s()
            burnt_s = sum(now_used_s[pid] - used_s[pid] for pid in now_used_s.keys() & used_s.keys())
            held_mb = sum(resident_mb(pid) for pid in pids(f'"bytes": {SIZE_MB}000000'))
            room = os.statvfs(self._disk)
            disk = 1 - room.f_bavail / room.f_blocks
            self.samples.append((now_s, burnt_s / (now_s - last_s), held_mb, disk))
            used_s, last_s = now_used_s, now_s


def pids(word: str) -> list[str]:
    return [each.split()[1] for each in holders(word)]


def cpu_times_s() -> dict[str, float]:
    """Of each process that burns for us."""
    found = {}
    for pid in pids(f'"share": {SHARE}'):
        try:
            found[pid] = sum(psutil.Process(int(pid)).cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("left_out", ["", "disk_full"])
def test_cpu_memory_and_disk_are_under_pressure_in_the_same_window(server: Hungry, left_out: str) -> None:
    """By what their processes use and hold; the service answers all the time, and all is given back."""
    kinds: dict[str, dict[str, Any]] = {
        "cpu_pressure": {"share": f"{SHARE:.0%}", "cores": 1},
        "memory_pressure": {"size": f"{SIZE_MB}MB"},
        "disk_full": {},
    }
    try:
        with file_system() as disk:
            targets = {"web": {"pidfile": str(server.pidfile), "path": str(disk)}}
            with Series(disk) as series:
                with ExitStack() as pressed:
                    for kind in kinds.keys() - {left_out}:
                        made = chaos_locust.inject(kind, target="web", targets=targets, **kinds[kind])
                        pressed.enter_context(made)
                    until_s = time.monotonic() + (2 * WINDOW_S if left_out else LIMIT_S)
                    while series.all_elevated_s() < WINDOW_S and time.monotonic() < until_s:
                        server.ask("/burn?ms=1")
                before = len(series.samples)
                until(lambda: len(series.samples) >= before + 3, "it is sampled afterwards")
    except NotHere as reason:
        pytest.skip(str(reason))
    assert (series.all_elevated_s() >= WINDOW_S) is not bool(left_out)
    _, cpu, memory_mb, disk_used = series.samples[-1]
    assert (cpu, memory_mb) == (0, 0)
    assert disk_used < 0.5


def memory_of(server: Hungry) -> tuple[int, int]:
    """(used, allowed) bytes of the cgroup that it is in."""
    for folder in cgroups(server.pid):
        for used, limit in (("usage_in_bytes", "limit_in_bytes"), ("current", "max")):
            if (folder / f"memory.{limit}").exists():
                numbers = [(folder / f"memory.{name}").read_text().strip() for name in (used, limit)]
                if numbers[1] != "max":
                    return int(numbers[0]), int(numbers[1])
    return 0, 1


class Crowd:
    """So many clients, each of which asks again when it has its answer, until ANSWERS came in all.

    counts: the answers of each. longest_s: the longest that one of them waited for an answer.
    """

    def __init__(self, ports: list[int]) -> None:
        self._took_s: list[list[float]] = [[] for _ in ports]
        self._ready = threading.Barrier(len(ports))
        self._until_s = time.monotonic() + LIMIT_S
        with ThreadPoolExecutor(len(ports)) as pool:
            for each in [pool.submit(self._ask, *one) for one in zip(ports, self._took_s, strict=True)]:
                each.result()
        self.counts = [len(each) for each in self._took_s]
        self.longest_s = max(max(each) for each in self._took_s)
        self.fairness = sum(self.counts) ** 2 / (len(ports) * sum(count**2 for count in self.counts))

    def _ask(self, port: int, took_s: list[float]) -> None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        link.connect()  # not a part of it: whom a short backlog drops tries again a second later
        self._ready.wait(LIMIT_S)
        while sum(map(len, self._took_s)) < ANSWERS and time.monotonic() < self._until_s:
            sent_s = time.monotonic()
            link.request("GET", "/")
            reply = link.getresponse()
            assert (reply.status, reply.read()) == (200, b"ok")
            took_s.append(time.monotonic() - sent_s)
        link.close()


@contextmanager
def short_of_memory(server: Hungry) -> Iterator[Callable[[], float]]:
    """With a limit that it has nearly reached; yields how much of it is used."""
    targets = {"web": {"pidfile": str(server.pidfile)}}
    with chaos_locust.inject("memory_limit", target="web", targets=targets, spare="60MB"):
        while (found := memory_of(server))[0] < 0.9 * found[1]:
            server.ask("/grow?mb=1")
        yield lambda: memory_of(server)[0] / memory_of(server)[1]


def test_many_at_once_and_hardly_any_memory_and_nobody_starves(server: Hungry, record_property: Any) -> None:
    """Planted: a quarter of the clients comes over a link that delays them, and gets hardly any answers."""
    try:
        writable("memory")
    except NotHere as reason:
        pytest.skip(str(reason))
    pid = server.pid
    with short_of_memory(server) as used:
        crowd = Crowd([server.port] * CLIENTS)
        assert used() > 0.85
    record_property("fairness (Jain)", round(crowd.fairness, 3))
    record_property("fewest and most answers of a client", (min(crowd.counts), max(crowd.counts)))
    record_property("longest request (s)", round(crowd.longest_s, 3))
    assert server.pid == pid
    assert server.answers()
    assert min(crowd.counts) > 0, "nobody starved"
    assert crowd.fairness > FAIREST
    proxy = ProxyServer("embedded", "-proxy-metrics")
    try:
        link = proxy.make("web", server.port)
        toxic = {"type": "latency", "attributes": {"latency": 1000}}
        proxy.ask("POST", "/proxies/web/toxics", toxic)
        unfair = Crowd([server.port] * (3 * CLIENTS // 4) + [link] * (CLIENTS // 4))
    finally:
        proxy.kill()
    assert unfair.fairness < FAIREST
