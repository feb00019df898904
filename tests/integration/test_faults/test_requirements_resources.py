"""What a service feels when it gets less CPU or memory: in proportion, without a crash, and normal after."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import chaos_locust
from chaos_locust import ChaosExperiment
from tests.crash.cell import NotHere
from tests.crash.cells_process import holders
from tests.crash.cells_resources import Limits, own_cgroup, resident_mb, writable
from tests.servers.hungry import Hungry, hungry, stat_of, until

MEASURE_S = 3.0
BURN_MS = 4


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def server() -> Iterator[Hungry]:
    with hungry() as found:
        yield found


def here(controller: str) -> None:
    try:
        writable(controller)
    except NotHere as error:
        pytest.skip(f"needs a cgroup: {error}")


def targets(server: Hungry) -> dict[str, Any]:
    return {"web": {"pidfile": str(server.pidfile)}}


def experiment(kind: str, server: Hungry, **keys: Any) -> ChaosExperiment:
    cluster = {
        "name": "a small service",
        "host": f"http://127.0.0.1:{server.port}",
        "targets": targets(server),
        "load": {"soak": {"rate": "20/s", "for": "60s"}},
        "warm_up": "2s",
        "baseline": "8s",
        "objectives": ["error_rate < 50% during run"],
    }
    made: ChaosExperiment = getattr(ChaosExperiment, kind)(cluster, "web", **keys)
    return made


class Measured:
    """Requests one after the other for some time, over one connection; all of them have to be answered."""

    def __init__(self, server: Hungry, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        used_s, begun_s = server.cpu_s(), time.monotonic()
        took_s = []
        while time.monotonic() - begun_s < MEASURE_S:
            sent_s = time.monotonic()
            connection.request("GET", path)
            reply = connection.getresponse()
            assert (reply.status, reply.read()) == (200, b"ok")
            took_s.append(time.monotonic() - sent_s)
        lasted_s = time.monotonic() - begun_s
        connection.close()
        self.rate, self.share = len(took_s) / lasted_s, (server.cpu_s() - used_s) / lasted_s
        self.p95_s = sorted(took_s)[int(0.95 * len(took_s))]


def quota(pid: int) -> float:
    """Of a core, as the kernel has it for the cgroup that the process is in."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        place = Path("/sys/fs/cgroup") / names / path.lstrip("/")
        if (place / "cpu.max").exists():
            allowed, period = (place / "cpu.max").read_text().split()
            return int(allowed) / int(period) if allowed != "max" else 0
        if names.startswith("cpu") and (place / "cpu.cfs_quota_us").exists():
            allowed_us = int((place / "cpu.cfs_quota_us").read_text())
            return max(allowed_us, 0) / int((place / "cpu.cfs_period_us").read_text())
    return 0


def test_less_cpu_is_slower_in_proportion_and_no_failure(server: Hungry) -> None:
    """At two limits, low enough for a machine that is busy with others; all is as before without them."""
    here("cpu")
    path, pid, limits = f"/burn?ms={BURN_MS}", server.pid, Limits(server.pid)
    before = Measured(server, path)
    levels = {}
    for limit in (0.06, 0.02):
        with chaos_locust.inject("cpu_throttle", target="web", targets=targets(server), limit=limit):
            assert limits.in_ours()
            assert quota(pid) == pytest.approx(limit)
            levels[limit] = Measured(server, path)
        assert levels[limit].share <= 1.2 * limit + 0.01
    some, much = levels.values()
    assert before.rate > some.rate > much.rate
    assert before.p95_s < some.p95_s < much.p95_s
    assert 1.5 < some.rate / much.rate < 6, "a third of the CPU is about a third of the throughput"
    assert not limits.left()
    assert server.pid == pid
    until(
        lambda: (after := Measured(server, path)).rate > some.rate and after.p95_s < much.p95_s,
        "normal",
    )


def test_the_experiment_bounds_the_cpu_of_its_service(server: Hungry) -> None:
    here("cpu")
    (fault,) = experiment("cpu_throttling", server, limit="4%").plan.faults
    free = Measured(server, f"/burn?ms={BURN_MS}").share
    with chaos_locust.inject(fault, targets=targets(server)):
        assert Measured(server, f"/burn?ms={BURN_MS}").share < 0.06 < free
    until(lambda: Measured(server, f"/burn?ms={BURN_MS}").share > 0.07, "it gets its CPU again")


@pytest.mark.parametrize("percent", [25, 90])
def test_cores_are_kept_busy_as_much_as_was_asked_for(server: Hungry, percent: int) -> None:
    """By the CPU time of what does it; on a machine that is busy already it may get less, never more."""
    asked: dict[str, Any] = {"share": f"{percent}%", "cores": 1}
    with chaos_locust.inject("cpu_pressure", target="web", targets=targets(server), **asked):
        pids = [int(each.split()[1]) for each in holders(f'"share": {percent / 100}')]
        (burner,) = [each for each in map(psutil.Process, pids) if len(each.cpu_affinity()) == 1]
        (core,) = burner.cpu_affinity()
        psutil.cpu_percent(percpu=True)
        used_s, since_s = sum(burner.cpu_times()[:2]), time.monotonic()
        time.sleep(MEASURE_S)
        ours = (sum(burner.cpu_times()[:2]) - used_s) / (time.monotonic() - since_s)
        whole = psutil.cpu_percent(percpu=True)[core] / 100
    assert ours < percent / 100 + 0.1
    assert whole > percent / 100 - 0.1
    assert stat_of(burner.pid)[:1] in ([], ["Z"])


@pytest.mark.parametrize("size_mb", [100, 400, 1200])
def test_memory_is_taken_held_and_given_back_and_the_service_stays_responsive(
    server: Hungry, size_mb: int
) -> None:
    free_mb = psutil.virtual_memory().available / 1e6
    if free_mb < 2 * size_mb + 1000:
        pytest.skip(f"needs {2 * size_mb + 1000} MB of free memory")
    pid = server.pid
    before_mb, slowest_s = resident_mb(str(pid)), 0.0
    size: dict[str, Any] = {"size": f"{size_mb}MB"}
    with chaos_locust.inject("memory_pressure", target="web", targets=targets(server), **size):
        (holder,) = [each.split()[1] for each in holders(f'"bytes": {size_mb}000000')]
        assert size_mb <= 1.024 * resident_mb(holder) < 1.05 * size_mb + 10  # and the interpreter itself
        for _ in range(20):
            begun_s = time.monotonic()
            server.ask()
            slowest_s = max(slowest_s, time.monotonic() - begun_s)
    assert slowest_s < 5
    assert stat_of(int(holder))[:1] in ([], ["Z"]), "all of it is given back"
    assert server.answers()
    assert server.pid == pid
    assert resident_mb(str(pid)) == pytest.approx(before_mb, rel=0.1), "no leak"


def test_a_leak_ends_in_the_kernels_kill_and_a_new_process_serves() -> None:
    """The healthy twin, which does not leak, is not killed, nor is it told that it has met the limit."""
    here("memory")
    with hungry(supervised=True) as server, own_cgroup(server.pid):
        first, asked, before = server.pid, list[int](), kernel_kills()

        def leak(each_mb: int, times: int) -> None:
            for _ in range(times):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    server.ask(f"/grow?mb={each_mb}")
                    asked.append(each_mb)

        limit: dict[str, Any] = {"target": "web", "targets": targets(server), "spare": "60MB"}
        with chaos_locust.inject("memory_limit", **limit) as injected:
            leak(1, 20)
            until(lambda: injected.effect is not None, "what became of it is told")
            assert injected.effect is not None
            assert injected.effect.mechanism is not True, injected.effect
            assert server.pid == first
            assert server.state() in ("S", "R")
            assert kernel_kills() == before
            leak(20, 5)
            until(lambda: server.pid != first, "the supervisor starts it anew")
            assert kernel_kills() > before, "by the kernel's own count, for lack of memory"
        assert len(asked) < 25, "some requests were lost with it"
        until(server.answers, "the new one serves")
        assert resident_mb(str(server.pid)) < 40


def kernel_kills() -> int:
    """How many processes the kernel has ended for lack of memory since it started."""
    lines = Path("/proc/vmstat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
