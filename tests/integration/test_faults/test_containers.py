"""Every fault on real containers of a Docker daemon of our own; without one, all of it is skipped by name."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chaos_locust.backends.registry import Backends
from tests.crash.cells_containers import CELLS
from tests.servers.docker import NETWORK, Daemon, NoDocker, address_of, daemon, inspect, web_server
from tests.servers.docker_rig import Load, Rig, answers, until

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def engine() -> Iterator[Daemon]:
    try:
        with daemon() as found:
            yield found
    except NoDocker as error:
        pytest.skip(f"no Docker: {error}")


@pytest.fixture
def web(engine: Daemon) -> Iterator[Any]:
    with web_server(engine, ports=None) as container:
        until(lambda: answers(address_of(container)), "the container serves")
        yield container


@pytest.fixture
def load(web: Any) -> Iterator[Load]:
    running = Load(address_of(web))
    yield running
    running.stop()


@pytest.mark.parametrize("kind", sorted(CELLS))
def test_acts_and_is_gone(engine: Daemon, kind: str) -> None:
    """As the cells of the crash matrix see it, without any code of ours."""
    with CELLS[kind]() as case:
        parameters = {key: v for key, v in case.fault.items() if key not in ("kind", "target")}
        rig = Rig(case.targets["web"]["container"], kind, **parameters)
        assert rig.problems() == []
        assert not case.acting()
        assert case.left() == ""
        rig.inject(0)
        assert case.acting()
        rig.revert()
        assert case.left() == ""


def test_pause(web: Any, load: Load) -> None:
    rig = Rig(web.name, "container_pause")
    rig.inject()
    assert not answers(address_of(web))
    assert "is paused already" in rig.problems()[0]
    effect = rig.effect()
    assert (effect.mechanism, effect.use) == (True, True), effect
    rig.revert()
    until(lambda: answers(address_of(web)), "it answers again")


def test_nobody_used_it(web: Any) -> None:
    rig = Rig(web.name, "container_pause")
    rig.inject()
    effect = rig.effect()
    assert effect.mechanism is True
    assert effect.use is not True, effect
    rig.revert()


@pytest.mark.parametrize("kind", ["container_kill", "container_stop"])
def test_down(web: Any, load: Load, kind: str) -> None:
    address = address_of(web)
    rig = Rig(web.name, kind)
    rig.inject()
    assert not answers(address)
    effect = rig.effect()
    assert (effect.mechanism, effect.use) == (True, True), effect
    rig.revert()
    if kind == "container_stop":
        until(lambda: answers(address_of(web)), "it answers again")
    else:
        assert inspect(web)["State"]["Running"] is False


def test_cpu(engine: Daemon) -> None:
    with web_server(engine, "(while :; do :; done) & :") as web:
        until(lambda: answers(address_of(web)), "the container serves")
        load = Load(address_of(web))
        rig = Rig(web.name, "container_cpu", cpus=0.2)
        rig.inject()
        effect = rig.effect(3)
        assert (effect.mechanism, effect.use) == (True, True), effect
        used_s = [_cpu_s(web)]
        started_s = time.monotonic()
        until(lambda: time.monotonic() - started_s > 1, "a second went by")
        used_s.append(_cpu_s(web))
        share = (used_s[1] - used_s[0]) / (time.monotonic() - started_s)
        assert share < 0.4, "far less than the CPU that it would use"
        rig.revert()
        load.stop()


def _cpu_s(container: Any) -> float:
    stats = container.stats(stream=False, one_shot=True)
    return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9


@pytest.mark.parametrize(
    "limits",
    [{"nano_cpus": 1_500_000_000}, {"cpu_quota": 75_000, "cpu_period": 50_000}],
    ids=["nano", "quota"],
)
def test_the_limit_of_before_comes_back(engine: Daemon, limits: dict[str, int]) -> None:
    with web_server(engine, mem_limit=256 * MIB, memswap_limit=256 * MIB, **limits) as web:
        before = _limits(web)
        cpu, memory = (
            Rig(web.name, "container_cpu", cpus=0.5),
            Rig(web.name, "container_memory", memory="64MiB"),
        )
        for rig in (cpu, memory):
            rig.inject(0)
        assert _limits(web) != before
        assert _limits(web)["Memory"] == 64 * MIB
        for rig in (cpu, memory):
            rig.revert()
        assert _limits(web) == before
        more, enough = (
            Rig(web.name, "container_cpu", cpus=1.5),
            Rig(web.name, "container_memory", memory="1GiB"),
        )
        assert "has 1.5 CPUs; 1.5 is no less" in more.problems()[0]
        assert "is limited to" in enough.problems()[0]


def _limits(container: Any) -> dict[str, int]:
    host = inspect(container)["HostConfig"]
    return {name: host[name] for name in ("NanoCpus", "CpuQuota", "CpuPeriod", "Memory", "MemorySwap")}


def test_memory(engine: Daemon) -> None:
    with web_server(engine, "dd if=/dev/zero of=/dev/shm/filled bs=1M count=30") as web:
        until(lambda: answers(address_of(web)), "the container serves")
        load = Load(address_of(web))
        rig = Rig(web.name, "container_memory", memory="32MiB")
        rig.inject()
        assert web.stats(stream=False, one_shot=True)["memory_stats"]["limit"] == 32 * MIB
        effect = rig.effect()
        assert (effect.mechanism, effect.use) == (True, True), effect
        rig.revert()
        load.stop()
        assert web.stats(stream=False, one_shot=True)["memory_stats"]["limit"] > 1024 * MIB


def test_a_limit_that_nobody_met(web: Any, load: Load) -> None:
    for kind, parameters in (("container_cpu", {"cpus": 0.9}), ("container_memory", {"memory": "500MiB"})):
        rig = Rig(web.name, kind, **parameters)
        rig.inject()
        assert rig.effect().mechanism is False
        rig.revert()


def test_disconnect(engine: Daemon, web: Any, load: Load) -> None:
    engine.client.networks.get(NETWORK).disconnect(web)
    engine.client.networks.get(NETWORK).connect(web, aliases=["shop"], ipv4_address=engine.address)
    until(lambda: answers(engine.address), "it serves at its fixed address")
    steady = Load(engine.address)
    rig = Rig(web.name, "container_disconnect")
    rig.inject()
    steady.stop()
    assert address_of(web) == ""
    assert not answers(engine.address)
    effect = rig.effect()
    assert (effect.mechanism, effect.use) == (True, True), effect
    rig.revert()
    until(lambda: answers(engine.address), "it is back at its address")
    assert "shop" in inspect(web)["NetworkSettings"]["Networks"][NETWORK]["Aliases"]


def test_found_without_a_lease(engine: Daemon, web: Any) -> None:
    rig = Rig(web.name, "container_pause")
    rig.inject(0)
    backend = Backends().named("containers")
    for place in ("", engine.host):
        (undo,) = backend.scan(place)
        assert undo["mark"] == "chaos-r1-it"
    backend.revert(undo)
    assert inspect(web)["State"]["Status"] == "running"
    assert backend.scan("") == []
    assert backend.scan("redis://127.0.0.1") == []


def test_a_container_that_is_gone_is_clean(engine: Daemon, web: Any) -> None:
    rig = Rig(web.name, "container_stop")
    rig.inject(0)
    web.remove(force=True)
    rig.revert()
    assert engine.client.volumes.list(filters={"label": "chaos-locust"}) == []


def test_undone_though_it_was_never_injected(web: Any) -> None:
    before = inspect(web)["HostConfig"]
    for kind, parameters in (
        ("container_pause", {}),
        ("container_stop", {}),
        ("container_cpu", {"cpus": 0.5}),
        ("container_memory", {"memory": "64MiB"}),
        ("container_disconnect", {}),
    ):
        rig = Rig(web.name, kind, **parameters)
        rig.undo = rig.backend.prepare("r1", rig.plan, rig.fault, rig.target)
        rig.revert()
    assert inspect(web)["HostConfig"] == before
    assert inspect(web)["State"]["Status"] == "running"


def test_who_is_never_touched(engine: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    for more, words in (
        ({"labels": {"io.kubernetes.pod.namespace": "kube-system"}}, "belongs to kube-system"),
        ({"labels": {"io.kubernetes.container.name": "POD"}}, "is the sandbox of a pod"),
        ({"entrypoint": ["sh", "-c", "sleep 60", "/usr/bin/locust"]}, ""),
    ):
        with web_server(engine, **more) as web:
            told = Rig(web.name, "container_kill").problems()
            assert told == [] if not words else words in told[0]
    with web_server(engine, auto_remove=True) as web:
        assert "is removed when it stops" in Rig(web.name, "container_stop").problems()[0]
        monkeypatch.setattr(socket, "gethostname", lambda: web.id[:12])
        assert "this program runs in" in Rig(web.name, "container_pause").problems()[0]


def test_no_such_container_network_or_docker(
    engine: Daemon, web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no container missing" in Rig("missing", "container_kill").problems()[0]
    (told,) = Rig(web.name, "container_disconnect", network="back").problems()
    assert f"is not in the network back; it is in {NETWORK}" in told
    web.stop(timeout=0)
    assert "does not run (it is exited)" in Rig(web.name, "container_pause").problems()[0]
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    (told,) = Rig("web", "container_kill").problems()
    assert told.startswith("targets.web.container: Docker at unix:///nowhere/docker.sock cannot be reached")
    assert Backends().named("containers").scan("") == []


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    (told,) = Rig("web", "container_kill").problems()
    assert "pip install 'chaos-locust[containers]'" in told
    assert Backends().named("containers").scan("") == []
