"""CPU, memory and descriptors taken away from a real server; what it really gets is read from /proc."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.backends.base import Effect, Reading, Undo
from chaos_locust.backends.registry import Backends
from chaos_locust.errors import BackendError
from chaos_locust.plan.model import Plan
from tests.crash.cell import NotHere
from tests.crash.cells_process import holders
from tests.crash.cells_resources import (
    CELLS,
    Limits,
    cgroups,
    is_unified,
    open_files_limit,
    own_cgroup,
    resident_mb,
    writable,
)
from tests.servers.hungry import Hungry, hungry, stat_of, until

MEASURE_S = 2.0


@pytest.fixture
def server() -> Iterator[Hungry]:
    with hungry() as found:
        yield found


@contextmanager
def load(server: Hungry, path: str) -> Iterator[None]:
    """Somebody who asks for this again and again, over one connection."""
    over, asked = threading.Event(), threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        while not over.is_set():
            try:
                connection.request("GET", path)
                connection.getresponse().read()
                asked.set()
            except (OSError, http.client.HTTPException):
                connection.close()
                over.wait(0.05)
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    assert asked.wait(30)
    try:
        yield
    finally:
        over.set()
        thread.join()


class Rig:
    """One fault on the server, as the guardian does it."""

    def __init__(self, server: Hungry, kind: str, **parameters: Any) -> None:
        fault = {"name": "it", "kind": kind, "target": "web", "at": "1s", "for": "60s", **parameters}
        targets = {"web": {"pidfile": str(server.pidfile)}}
        self.plan = Plan.from_json({"name": "p", "targets": targets, "faults": [fault]})
        self.fault, self.target = self.plan.faults[0], self.plan.targets["web"]
        self.backend = Backends().named("resources")
        self.readings: list[Reading] = []
        self.before: list[Reading] = []
        self.run_id = f"r{server.pid}"

    def problem(self) -> str:
        return "; ".join(map(str, self.backend.preflight(self.plan, self.fault, self.target)))

    @contextmanager
    def acting(self) -> Iterator[Undo]:
        """Reverted twice at the end, by another backend, which knows the Undo alone as cleanup does."""
        assert self.problem() == ""
        undo = self.backend.prepare(self.run_id, self.plan, self.fault, self.target)
        other = Backends().named("resources")
        other.revert(undo)  # harmless before it happened
        assert other.verify(undo)
        self.before.append(self.backend.observe(self.fault, undo))
        try:
            self.backend.inject(self.fault, undo)
            assert not other.verify(undo)
            # A process that was just started shows its arguments a moment later.
            until(lambda: undo["mark"] in [each["mark"] for each in other.scan("")], "its mark is found")
            yield undo
        finally:
            other.revert(undo)
        assert other.verify(undo)
        other.revert(undo)
        assert other.verify(undo)
        assert undo["mark"] not in [found["mark"] for found in other.scan("")]
        assert not holders(undo["mark"])

    def watch(self, undo: Undo, seconds_s: float = MEASURE_S) -> Effect:
        until_s = time.monotonic() + seconds_s
        while time.monotonic() < until_s:
            self.readings.append(self.backend.observe(self.fault, undo))
            time.sleep(0.2)
        return self.backend.effect(self.fault, self.before, self.readings)


def share_used(server: Hungry) -> float:
    """Of a core, measured over some time."""
    since_s, used_s = time.monotonic(), server.cpu_s()
    time.sleep(MEASURE_S)
    return (server.cpu_s() - used_s) / (time.monotonic() - since_s)


def here(controller: str) -> None:
    try:
        writable(controller)
    except NotHere as error:
        pytest.skip(f"no cgroup can be made: {error}")


def test_cpu_throttle(server: Hungry) -> None:
    """A child that was there before the fault and one that comes with it are limited too."""
    here("cpu")
    limits = Limits(server.pid)
    rig = Rig(server, "cpu_throttle", limit="15%")
    server.ask("/child")
    with load(server, "/burn?ms=20"):
        with rig.acting() as undo:
            assert "is limited already" in Rig(server, "cpu_throttle", limit="15%").problem()
            server.ask("/child")
            until(lambda: share_used(server) == pytest.approx(0.15, abs=0.04), "it gets 15% of a core")
            effect = rig.watch(undo)
            assert (effect.mechanism, effect.use) == (True, True), effect
            assert limits.in_ours()
        assert not limits.left()
        until(lambda: share_used(server) > 0.25, "it gets more again")


def test_a_throttle_that_is_never_met(server: Hungry) -> None:
    here("cpu")
    rig = Rig(server, "cpu_throttle", limit="90%")
    with rig.acting() as undo:
        effect = rig.watch(undo, 1.0)
    assert (effect.mechanism, effect.use) == (False, False), effect
    assert "never came to the limit of 90%" in effect.detail


def test_cpu_pressure(server: Hungry) -> None:
    rig = Rig(server, "cpu_pressure", share="40%", cores=1)
    with load(server, "/"), rig.acting() as undo:
        (core,) = undo["cores"]
        effect = rig.watch(undo)
        assert (effect.mechanism, effect.use) == (True, True), effect
        burners = [int(each.split()[1]) for each in holders(undo["mark"])][1:]
        assert [os.sched_getaffinity(pid) for pid in burners] == [{core}]
        ours, busy = core_shares(burners[0], core)
        assert ours < 0.45
        assert ours > 0.35 or busy > 0.95, "others, who want the same core, may take their part"


def core_shares(pid: int, core: int) -> tuple[float, float]:
    """What a process has used of a core for some time, and what all have."""

    def look() -> tuple[float, int, int, int]:
        lines = Path("/proc/stat").read_text().splitlines()
        ticks = [int(word) for word in next(x for x in lines if x.startswith(f"cpu{core} ")).split()[1:9]]
        own = stat_of(pid)
        return time.monotonic(), int(own[11]) + int(own[12]), ticks[3] + ticks[4], sum(ticks)

    first = look()
    time.sleep(MEASURE_S)
    took_s, own, idle, whole = (b - a for a, b in zip(first, look(), strict=True))
    return own / os.sysconf("SC_CLK_TCK") / took_s, 1 - idle / whole


def test_memory_pressure(server: Hungry) -> None:
    rig = Rig(server, "memory_pressure", size="150MB")
    with load(server, "/"), rig.acting() as undo:
        (holder,) = [each.split()[1] for each in holders(undo["mark"])]
        assert resident_mb(holder) == pytest.approx(155, abs=10)
        assert Path(f"/proc/{holder}/oom_score_adj").read_text().strip() == "1000"
        effect = rig.watch(undo, 1.0)
    assert (effect.mechanism, effect.use) == (True, True), effect


def test_memory_pressure_up_to_a_level(server: Hungry) -> None:
    """In a cgroup with a limit it is that of the cgroup that is filled."""
    here("memory")
    with limited_memory(server, 500_000_000) as used_bytes:
        rig = Rig(server, "memory_pressure", level="70%")
        with load(server, "/"), rig.acting() as undo:
            effect = rig.watch(undo, 1.0)
            assert (effect.mechanism, effect.use) == (True, True), effect
            assert used_bytes() / 500e6 == pytest.approx(0.7, abs=0.05)
        until(lambda: used_bytes() < 200e6, "the memory is free again")
        over = Rig(server, "memory_pressure", size="490MB").problem()
        assert "would be taken" in over
        assert "of the cgroup" in over


@contextmanager
def limited_memory(server: Hungry, limit: int) -> Iterator[Callable[[], int]]:
    """The server in a cgroup with a limit; yields what reads how much of it is used."""
    if is_unified():
        with own_cgroup(server.pid):
            (place,) = cgroups(server.pid)
            (place / "memory.max").write_text(str(limit))
            yield lambda: int((place / "memory.current").read_text())
        return
    home = next(folder for folder in cgroups(server.pid) if (folder / "memory.limit_in_bytes").exists())
    place = home / f"tests-{server.pid}"
    place.mkdir()
    try:
        (place / "memory.limit_in_bytes").write_text(str(limit))
        (place / "cgroup.procs").write_text(str(server.pid))
        yield lambda: int((place / "memory.usage_in_bytes").read_text())
    finally:
        (home / "cgroup.procs").write_text(str(server.pid))
        until(lambda: not (place / "cgroup.procs").read_text(), "the test's cgroup is empty")
        place.rmdir()


def test_memory_leak(server: Hungry) -> None:
    rig = Rig(server, "memory_leak", rate="40MB/s", limit="100MB")
    with load(server, "/"), rig.acting() as undo:
        (holder,) = [each.split()[1] for each in holders(undo["mark"])]
        since_s, before_mb = time.monotonic(), resident_mb(holder)
        time.sleep(1.0)
        rate = (resident_mb(holder) - before_mb) / (time.monotonic() - since_s)
        assert rate == pytest.approx(40, abs=8)
        until(lambda: resident_mb(holder) > 99, "the limit is reached")
        effect = rig.watch(undo, 1.0)
        assert resident_mb(holder) < 115
    assert (effect.mechanism, effect.use) == (True, True), effect


def test_memory_limit_that_is_met(server: Hungry) -> None:
    """A process that goes on taking memory is ended by the kernel; the machine keeps its own."""
    here("memory")
    with own_cgroup(server.pid):
        rig = Rig(server, "memory_limit", spare="40MB")
        with rig.acting() as undo:
            server.ask("/grow?mb=20")
            assert rig.watch(undo, 0.5).mechanism is False
            with pytest.raises((OSError, http.client.HTTPException)):
                server.ask("/grow?mb=200")
            until(lambda: server.state() in ("", "Z"), "the kernel ended it")
            effect = rig.watch(undo, 0.5)
            assert effect.mechanism is True, effect
            assert "1 processes ended by it" in effect.detail


def test_memory_limit_is_taken_back(server: Hungry) -> None:
    here("memory")
    with own_cgroup(server.pid):
        limits = Limits(server.pid)
        with Rig(server, "memory_limit", spare="40MB").acting():
            assert limits.in_ours() or limits.memory_changed()
        assert not limits.left()
        server.ask("/grow?mb=200")
        assert resident_mb(str(server.pid)) > 200


def test_file_descriptors(server: Hungry) -> None:
    before = open_files_limit(server.pid)
    rig = Rig(server, "file_descriptors", spare=3)
    with load(server, "/"), ExitStack() as opened:
        with rig.acting() as undo:
            assert rig.watch(undo, 0.5).mechanism is None, "nobody needed one"
            late = []
            for _ in range(6):
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.5)
                opened.callback(connection.close)
                connection.request("GET", "/")
                try:
                    connection.getresponse().read()
                except TimeoutError:
                    late.append(connection)
            assert len(late) == 3, "three were let in, and the rest waits for a descriptor"
            effect = rig.watch(undo, 0.5)
            assert (effect.mechanism, effect.use) == (True, True), effect
        assert open_files_limit(server.pid) == before
        until(server.answers, "the server answers again")


def test_a_limit_that_a_child_has_inherited_is_put_back_too(server: Hungry) -> None:
    before = open_files_limit(server.pid)
    with Rig(server, "file_descriptors", limit=30).acting():
        server.ask("/child")
        (child,) = children(server.pid)
        assert open_files_limit(child) == "30"
    assert open_files_limit(child) == before


def children(pid: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [each for each in pids if (fields := stat_of(each)) and int(fields[1]) == pid]


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("cpu_pressure", {"share": "10%", "cores": 1000}, "cores: 1000 is too many"),
        ("memory_pressure", {"size": "100000GB"}, "MB are free of the machine"),
        ("memory_leak", {"rate": "1MB/s", "limit": "100000GB"}, "limit: 100,000,000 MB would be taken"),
        ("file_descriptors", {"limit": 2_000_000_000}, "no more than that"),
    ],
)
def test_what_is_refused(server: Hungry, kind: str, parameters: dict[str, Any], words: str) -> None:
    rig = Rig(server, kind, **parameters)
    assert rig.problem().startswith(f"targets.web: {kind}: ")
    assert words in rig.problem()
    with pytest.raises(BackendError, match=words.partition(":")[0]):
        rig.backend.prepare("r", rig.plan, rig.fault, rig.target)


@pytest.mark.parametrize("kind", CELLS)
def test_who_is_never_touched(server: Hungry, kind: str) -> None:
    parameters = {
        "cpu_throttle": {"limit": "50%"},
        "cpu_pressure": {"share": "10%"},
        "memory_pressure": {"size": "1MB"},
        "memory_leak": {"rate": "1MB/s", "limit": "1MB"},
        "memory_limit": {"spare": "100MB"},
        "file_descriptors": {"spare": 100},
    }[kind]
    rig = Rig(server, kind, **parameters)
    own = server.pidfile.read_text()
    for pid, words in ((1, "the first process of this machine"), (os.getppid(), "one that started it")):
        server.pidfile.write_text(str(pid))
        assert words in rig.problem()
    server.pidfile.write_text(own)


def test_it_ends_with_whoever_holds_it(server: Hungry) -> None:
    """kill -9 of the process that did the fault: nobody else is needed."""
    before = open_files_limit(server.pid)
    code = """
import json, signal, sys
from chaos_locust.backends.registry import Backends
from chaos_locust.plan.model import Plan
plan = Plan.from_json(json.loads(sys.argv[1]))
for fault in plan.faults:
    backend = Backends().named(fault.family)
    backend.inject(fault, backend.prepare("run", plan, fault, plan.targets["web"]))
print("acting", flush=True)
signal.pause()
"""
    common = {"target": "web", "at": "1s", "for": "60s"}
    kinds: list[dict[str, Any]] = [
        {"name": "files", "kind": "file_descriptors", "spare": 3},
        {"name": "leak", "kind": "memory_leak", "rate": "1MB/s", "limit": "9MB"},
        {"name": "stop", "kind": "pause"},
    ]
    limits = Limits(server.pid)
    try:
        writable("cpu")
        kinds.append({"name": "cpu", "kind": "cpu_throttle", "limit": "20%"})
    except NotHere:
        pass  # the cgroup's own test says so
    data = {
        "name": "p",
        "targets": {"web": {"pidfile": str(server.pidfile)}},
        "faults": [{**common, **each} for each in kinds],
    }
    plan = Plan.from_json(data)
    doer = subprocess.Popen([sys.executable, "-c", code, json.dumps(plan.to_json())], stdout=subprocess.PIPE)
    assert doer.stdout is not None
    assert doer.stdout.readline() == b"acting\n"
    assert server.state() == "T"
    assert open_files_limit(server.pid) != before
    limits.in_ours()
    doer.kill()
    doer.wait()
    until(lambda: not holders("chaos-run-"), "every process of ours has ended")
    assert server.state() != "T"
    assert open_files_limit(server.pid) == before
    assert not limits.left()
    assert server.answers()
