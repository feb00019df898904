"""Processes of ours in containers: how much they take, what is told of them, and what that proves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.backends.kubernetes.inside_effect import inside_mechanism
from chaos_locust.backends.kubernetes.inside_reading import Room, read_processes, read_room
from chaos_locust.errors import BackendError
from chaos_locust.faults.kubernetes_inside import PodCpuPressure, PodDiskFull, PodMemoryPressure
from tests.servers.kubernetes_api import FakeApi, pod, served, workload
from tests.servers.kubernetes_world import DISK, MEMORY, MIB, Container, World

TARGET = {"namespace": "shop", "deployment": "web"}
COMMON: dict[str, Any] = {"name": "it", "target": "web", "at": "1s", "for": "30s"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    api = FakeApi()
    api.add("deployments", workload())
    for number in range(3):
        api.add("pods", pod(f"web-{number}"))
    with served(api, tmp_path) as config:
        yield World(api, config)


@pytest.fixture
def container(world: World, monkeypatch: pytest.MonkeyPatch) -> Container:
    return world.container(monkeypatch)


# -- begun and ended -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters", "amount", "path"),
    [
        ("pod_cpu_pressure", {"cores": 2}, "2", ""),
        ("pod_memory_pressure", {"size": "20MiB"}, str(20 * MIB), ""),
        ("pod_memory_pressure", {"level": "75%", "size": None}, str(36 * MIB), ""),
        ("pod_disk_full", {"path": "/data", "size": "10MB"}, "10000000", "/data"),
        ("pod_disk_full", {"path": "/data", "size": "1GB", "leave": "1MB"}, "408600000", "/data"),
    ],
)
def test_they_are_begun_and_ended(
    world: World, container: Container, kind: str, parameters: Any, amount: str, path: str
) -> None:
    undo = world.inject(kind, TARGET, **parameters)
    assert list(container.begun.values()) == [["45", amount, path]], "15 s more than 30 s"
    assert list(container.begun) == ["chaos-r1-it"]
    (name,) = world.marked()
    assert name == undo["victims"][0]["name"]
    assert world.backend.verify(undo) is False
    for _ in range(2):
        world.backend.revert(undo)
        assert world.backend.verify(undo)
    assert container.begun == {}
    assert world.marked() == []


def test_they_are_ended_by_the_mark_alone(
    world: World, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.inject("pod_cpu_pressure", TARGET, count=2)
    monkeypatch.setenv("KUBECONFIG", world.config)
    found = world.backend.scan("kubernetes://fake")
    assert len(found) == 2
    for undo in found:
        world.backend.revert(undo)
    assert container.begun == {}
    assert world.marked() == []


def test_what_could_not_be_begun_is_told_and_undone(world: World, container: Container) -> None:
    fault, undo = world.prepare("pod_cpu_pressure", TARGET)
    container.broken = "exec in shop/web-0: container not found"
    with pytest.raises(BackendError, match="container not found"):
        world.backend.inject(fault, undo)
    with pytest.raises(BackendError, match="container not found"):
        world.backend.revert(undo)  # it runs, so something of ours may run in it
    assert world.backend.verify(undo) is False
    container.broken = ""
    world.backend.revert(undo)
    assert world.backend.verify(undo)


def test_they_end_with_their_container(world: World, container: Container) -> None:
    undo = world.inject("pod_cpu_pressure", TARGET)
    container.broken = "exec: container not found"
    name = undo["victims"][0]["name"]
    statuses = world.api.objects["pods", "shop", name]["status"]["containerStatuses"]
    statuses[0]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    world.backend.revert(undo)
    assert world.backend.verify(undo)


def test_an_image_without_a_shell_is_told_before_the_load(world: World, container: Container) -> None:
    container.code, container.text = 127, "sh: not found"
    (told,) = world.problems("pod_cpu_pressure", TARGET)
    assert "/web has no sh, grep, head, sleep, tail and tr: sh: not found" in told
    (told,) = world.problems("pod_disk_full", TARGET)
    assert "/web: /data is no folder there that may be written to" in told
    assert world.marked() == []


# -- how much ------------------------------------------------------------------------------------------------


def test_the_room_of_cgroups() -> None:
    assert read_room(MEMORY + DISK) == Room(64 * MIB, 52 * MIB, 1_024_000_000, 409_600_000)
    one = "memory.limit_in_bytes 67108864\nmemory.usage_in_bytes 1900544\nMemAvailable: 8000000 kB\n"
    assert read_room(one) == Room(64 * MIB, 64 * MIB - 1900544)
    free = "memory.limit_in_bytes 9223372036854771712\nmemory.usage_in_bytes 5\nMemAvailable: 8 kB\n"
    assert read_room(free) == Room(None, 8192)
    assert read_room("memory.max max\nmemory.current 5\nMemAvailable: 8 kB\n") == Room(None, 8192)
    tight = MEMORY.replace("8000000", "1000")
    assert read_room(tight).free == 1_024_000, "the node has less than the container may use"
    with pytest.raises(BackendError, match="cannot be read"):
        read_room("sh: grep: not found")


@pytest.mark.parametrize(
    ("room", "parameters", "words"),
    [
        (Room(64 * MIB, 50 * MIB), {"size": "49MiB"}, "size: 51 MB would be taken, and 52 MB are free"),
        (Room(64 * MIB, 50 * MIB), {"level": "99%"}, "level: 52 MB would be taken"),
        (Room(64 * MIB, 5 * MIB), {"level": "80%"}, "level: the memory of the pod is 92% full already"),
        (Room(None, 50 * MIB), {"level": "80%"}, "level: the pod has no memory limit; give size"),
        (Room(None, 50 * MIB), {"size": "48MiB"}, "of which 4 MB have to stay"),
    ],
)
def test_too_much_memory(room: Room, parameters: Any, words: str) -> None:
    with pytest.raises(BackendError, match=words):
        room.memory(PodMemoryPressure(**COMMON, **parameters), "the pod")


def test_a_disk_keeps_what_is_to_stay() -> None:
    room = Room(None, 1, disk_whole=1000, disk_free=400)
    assert room.disk(PodDiskFull(**COMMON, path="/data", size="1MB"), "p") == 250
    assert room.disk(PodDiskFull(**COMMON, path="/data", size="1MB", leave="399B"), "p") == 1
    assert room.disk(PodDiskFull(**COMMON, path="/data", size="7B"), "p") == 7
    with pytest.raises(BackendError, match=r"leave: 0 MB are free at /data of p, and 0 MB have to stay"):
        room.disk(PodDiskFull(**COMMON, path="/data", size="1MB", leave="400B"), "p")


# -- what is seen --------------------------------------------------------------------------------------------

SEEN = """uptime 65116.98
process
812 (sh) S 0 812 812 0 -1 4194560 150 0 0 0 3 4 0 0 20 0 1 0 6511000 2600000 444 184467
VmRSS:\t    1776 kB
process
813 (a b) R) R 0 812 812 0 -1 4194560 150 0 0 0 83 4 0 0 20 0 1 0 6511000 2600000 444 184467
VmRSS:\t   20000 kB
-rw-r--r--    0 0        0          7388608 Nov 22 05:00 /proc/813/fd/3
nr_periods 10
nr_throttled 7
throttled_time 900
"""


def test_what_a_container_tells() -> None:
    assert read_processes(SEEN) == {
        "uptime_s": 65116.98,
        "processes": [
            {"cpu_s": 0.07, "resident_bytes": 1776 * 1024, "room_bytes": 0},
            {"cpu_s": 0.87, "resident_bytes": 20000 * 1024, "room_bytes": 7388608},
        ],
        "throttled": 7,
    }
    assert read_processes("sh: cat: not found")["processes"] == []


def look(uptime_s: float = 0, cpu_s: float = 0, held: int = 0, throttled: int = 0, due: int = 1) -> Any:
    process = {"cpu_s": cpu_s, "resident_bytes": held, "room_bytes": held}
    return {"uptime_s": uptime_s, "processes": [process], "throttled": throttled, "due": due}


def gone(uptime_s: float, due: int = 1) -> Any:
    return {**look(uptime_s, due=due), "processes": []}


CPU = PodCpuPressure(**COMMON, cores=2)
MEMORY_FAULT = PodMemoryPressure(**COMMON, size="1MB")
DISK_FAULT = PodDiskFull(**COMMON, path="/data", size="1MB")


@pytest.mark.parametrize(
    ("looks", "proved"),
    [
        ([look(10, 1), look(20, 21)], True),
        ([look(10, 1), look(20, 11)], True),
        ([look(10, 1), look(20, 10)], False),
        ([look(10, 1), look(20, 4, throttled=90)], True),
        ([look(10, 1), look(20, 1, throttled=90)], False),  # throttled, but not by us
        ([look(10, 1)], None),
        ([look(10, 1), gone(20)], False),
        ([gone(10), gone(20)], False),
        ([], None),
    ],
)
def test_cpu_is_used(looks: list[Any], proved: bool | None) -> None:
    seen = [{"inside": {"a": each}} for each in looks] or [{"inside": {}}]
    assert inside_mechanism(CPU, seen)[0] is proved


@pytest.mark.parametrize("fault", [MEMORY_FAULT, DISK_FAULT])
@pytest.mark.parametrize(
    ("looks", "proved"),
    [
        ([look(held=1000, due=1000)], True),
        ([look(held=0, due=1000), look(held=900, due=1000)], True),
        ([look(held=899, due=1000)], False),
        ([gone(1, due=1000)], False),
    ],
)
def test_memory_and_room_are_held(fault: Any, looks: list[Any], proved: bool) -> None:
    assert inside_mechanism(fault, [{"inside": {"a": each}} for each in looks])[0] is proved


def test_all_containers_have_to_be_met() -> None:
    both = [{"inside": {"a": look(held=1000, due=1000), "b": look(held=1, due=1000)}}]
    assert inside_mechanism(MEMORY_FAULT, both)[0] is False
    halves = [{"inside": {"a": look(10, 1), "b": look(10, 1)}}, {"inside": {"a": look(20, 21)}}]
    assert inside_mechanism(CPU, halves)[0] is None
