"""What readings of a container prove; and what its state of before is, as data."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.base import Reading
from chaos_locust.backends.containers.effect import container_effect
from chaos_locust.backends.containers.state import cpus_of, endpoints_of, limits_for, networks_problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.containers import ContainerDisconnect
from chaos_locust.faults.registry import KINDS

MIB = 1024 * 1024


def fault(kind: str, **parameters: Any) -> Fault:
    lasting = {} if KINDS[kind].instant else {"for": "10s"}
    return KINDS[kind](name="it", target="web", at="1s", **lasting, **parameters)


def reading(at_s: float, packets: int | None = None, **seen: Any) -> Reading:
    state = {"Running": True, "Paused": False, "OOMKilled": False, "StartedAt": "1"} | seen.pop("state", {})
    empty = {"name": "web", "networks": ["front"], "limits": None, "throttled": None, "error": ""}
    return {"at_s": at_s, "state": state, "packets": packets, **empty, **seen}


BEFORE = [reading(0, 0), reading(1, 100)]
TEN = {"memory": "10MiB"}


@pytest.mark.parametrize(
    ("kind", "parameters", "acting", "not_acting"),
    [
        ("container_kill", {}, {"state": {"Running": False}}, {}),
        ("container_kill", {}, {"state": {"StartedAt": "2"}}, {}),
        ("container_stop", {}, {"state": {"Running": False}}, {}),
        ("container_pause", {}, {"state": {"Paused": True}}, {}),
        ("container_disconnect", {}, {"networks": []}, {}),
        (
            "container_disconnect",
            {"network": "front"},
            {"networks": ["back"]},
            {"networks": ["front", "back"]},
        ),
        (
            "container_memory",
            {"memory": "10MiB"},
            {"limits": {"used": 9 * MIB}},
            {"limits": {"used": 8 * MIB}},
        ),
        ("container_memory", {"memory": "10MiB"}, {"state": {"OOMKilled": True}}, {"limits": {"used": MIB}}),
    ],
)
def test_mechanism(kind: str, parameters: Any, acting: Any, not_acting: Any) -> None:
    effect = container_effect(fault(kind, **parameters), BEFORE, [reading(2, 200, **acting)])
    assert (effect.mechanism, effect.use) == (True, True), effect
    assert (
        container_effect(fault(kind, **parameters), BEFORE, [reading(2, 200, **not_acting)]).mechanism
        is False
    )


@pytest.mark.parametrize(("periods", "acts"), [((5, 9), True), ((5, 5), False), ((5, None), None)])
def test_throttled(periods: tuple[int, int | None], acts: bool | None) -> None:
    before, during = reading(1, 0, throttled=periods[0]), reading(2, 90, throttled=periods[1])
    assert container_effect(fault("container_cpu", cpus=0.5), [before], [during]).mechanism is acts


@pytest.mark.parametrize(("packets", "use"), [(0, False), (3, None), (300, True), (None, None)])
def test_a_networks_own_packets_prove_nothing(packets: int | None, use: bool | None) -> None:
    during = [reading(2, packets, state={"Paused": True})]
    assert container_effect(fault("container_pause"), [reading(0, 0)], during).use is use


def test_docker_did_not_tell() -> None:
    effect = container_effect(
        fault("container_pause"), BEFORE, [reading(2) | {"state": None, "error": "it is gone"}]
    )
    assert effect.mechanism is None
    assert "it is gone" in effect.detail
    assert container_effect(fault("container_pause"), BEFORE, []).mechanism is None


@pytest.mark.parametrize(
    ("host", "cpus", "expected"),
    [
        ({"NanoCpus": 0, "CpuQuota": 0, "CpuPeriod": 0}, None, ("CpuQuota", 0, 50_000)),
        ({"NanoCpus": 0, "CpuQuota": 40_000, "CpuPeriod": 20_000}, 2.0, ("CpuQuota", 40_000, 10_000)),
        (
            {"NanoCpus": 1_500_000_000, "CpuQuota": 0, "CpuPeriod": 0},
            1.5,
            ("NanoCpus", 1_500_000_000, 500_000_000),
        ),
    ],
)
def test_limits_in_the_way_of_before(host: dict[str, int], cpus: float | None, expected: Any) -> None:
    before, ours = limits_for(fault("container_cpu", cpus=0.5), host)
    name, theirs, limit = expected
    assert (before[name], ours[name]) == (theirs, limit)
    assert cpus_of(host) == cpus


def test_how_it_was_connected() -> None:
    about = {
        "Aliases": ["shop", "0123456789ab"],
        "Links": ["db:database"],
        "IPAMConfig": None,
        "IPAddress": "10.0.0.7",
    }
    container = {
        "Id": "0123456789ab" + "c" * 52,
        "NetworkSettings": {"Networks": {"front": about, "back": {}}},
        "HostConfig": {"NetworkMode": "front"},
    }
    assert endpoints_of(container, "front") == {
        "front": {"aliases": ["shop"], "links": {"db": "database"}, "ipv4_address": "10.0.0.7"}
    }
    assert endpoints_of(container, None)["back"] == {}
    cut = fault("container_disconnect", network="side")
    assert isinstance(cut, ContainerDisconnect)
    assert "is not in the network side; it is in back, front" in networks_problem(cut, container)
    container["HostConfig"] = {"NetworkMode": "host"}
    assert "has the network mode host" in networks_problem(cut, container)
