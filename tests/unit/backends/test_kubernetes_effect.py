"""What readings prove of a fault in a cluster: tables of healthy and broken ones."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.kubernetes.effect import kubernetes_effect
from chaos_locust.faults.base import Fault
from chaos_locust.faults.registry import parse_fault

Reading = dict[str, Any]


def fault_of(kind: str, **parameters: Any) -> Fault:
    found = parse_fault({"kind": kind, "name": "it", "target": "web", "at": "1s", **parameters}, "x")
    assert isinstance(found, Fault), found
    return found


def of(**changes: Any) -> dict[str, Any]:
    """A pod in a reading."""
    found = {"name": "web", "ready": True, "deleting": False, "restarts": 0, "node": "n", "running": True}
    return found | {"waiting": "", "cpus": 0.3} | changes


def reading(at_s: float, pods: Any = None, victims: tuple[str, ...] = ("a",), **more: Any) -> Reading:
    found = {"a": of(), "b": of()} if pods is None else pods
    seen = {"at_s": at_s, "error": "", "pods": found, "victims": list(victims), "nodes": {}}
    seen |= {"serving": {"a": "n"}, "loaded": True, "received": {}, "connects": []}
    return seen | {"inside": {}, "config": None} | more


def blind(at_s: float) -> Reading:
    return reading(at_s, serving=None, loaded=False) | {"pods": None, "error": "connection refused"}


def mechanism(fault: Fault, before: list[Reading], during: list[Reading]) -> bool | None:
    return kubernetes_effect(fault, before, during).mechanism


BEFORE = [reading(0), reading(1)]
KILL, EVICT = fault_of("pod_kill"), fault_of("pod_evict")
SIGNAL = fault_of("pod_signal")


@pytest.mark.parametrize("fault", [KILL, EVICT])
@pytest.mark.parametrize(
    ("pods", "victims", "proved"),
    [
        ({"b": of()}, ("a",), True),
        ({"a": of(deleting=True), "b": of()}, ("a",), True),
        ({"a": of(), "b": of()}, ("a",), False),
        ({"b": of()}, ("a", "b"), False),
        ({"c": of()}, ("a", "b"), True),
        ({"b": of()}, (), False),
    ],
)
def test_pods_are_gone(fault: Fault, pods: Any, victims: tuple[str, ...], proved: bool) -> None:
    effect = kubernetes_effect(fault, BEFORE, [reading(2, pods, victims)])
    assert effect.mechanism is proved, effect


@pytest.mark.parametrize(
    ("pods", "proved"),
    [
        ({"a": of(restarts=1)}, True),
        ({"a": of(waiting="CrashLoopBackOff", ready=False)}, True),
        ({"a": of(waiting="terminated", ready=False)}, True),
        ({"b": of()}, True),
        ({"a": of()}, False),
        ({"a": of(ready=False)}, False),  # it is slow, not ended
    ],
)
def test_containers_ended(pods: Any, proved: bool) -> None:
    assert mechanism(SIGNAL, BEFORE, [reading(2, pods)]) is proved


def test_a_container_that_had_been_started_again_before() -> None:
    was = [reading(0, {"a": of(restarts=3)})]
    assert mechanism(SIGNAL, was, [reading(1, {"a": of(restarts=3)})]) is False
    assert mechanism(SIGNAL, was, [reading(1, {"a": of(restarts=4)})]) is True
    assert mechanism(SIGNAL, [blind(0)], [reading(1, {"a": of(restarts=4)})]) is None
    assert mechanism(SIGNAL, [], [reading(1, {"a": of(restarts=4)})]) is None


def test_scaled() -> None:
    fault = fault_of("pod_scale", replicas=1, **{"for": "5s"})
    assert mechanism(fault, BEFORE, [reading(2)]) is False
    assert mechanism(fault, BEFORE, [reading(2), reading(3, {"a": of()}), reading(4)]) is True
    assert mechanism(fault, BEFORE, [reading(2, {"a": of(ready=False)})]) is False


def test_replaced() -> None:
    fault = fault_of("rollout_restart")
    assert mechanism(fault, BEFORE, [reading(2)]) is False
    assert mechanism(fault, BEFORE, [reading(2, {"a": of(), "c": of()})]) is True
    assert mechanism(fault, [blind(0)], [reading(2, {"c": of()})]) is None


def test_an_image_that_cannot_be_pulled() -> None:
    fault = fault_of("rollout_image", **{"for": "5s"})
    stuck = of(waiting="ImagePullBackOff", ready=False)
    assert mechanism(fault, BEFORE, [reading(2, {"a": of(), "c": stuck})]) is True
    assert mechanism(fault, BEFORE, [reading(2, {"a": of(), "c": of(waiting="ContainerCreating")})]) is False
    was = [reading(0, {"a": of(), "c": stuck})]
    assert mechanism(fault, was, [reading(2, {"a": of(), "c": stuck})]) is False, "it waited before"


def test_a_limit_in_force() -> None:
    fault = fault_of("pod_cpu", cpus=0.1, **{"for": "5s"})
    assert mechanism(fault, BEFORE, [reading(2), reading(3)]) is False
    assert mechanism(fault, BEFORE, [reading(2), reading(3, {"a": of(cpus=0.1)})]) is True
    assert mechanism(fault, BEFORE, [reading(2, {"a": of(cpus=0.1), "b": of()}, ("a", "b"))]) is False
    assert mechanism(fault, BEFORE, [reading(2, {"b": of(cpus=0.1)})]) is False
    assert mechanism(fault, BEFORE, [reading(2, {"a": of(cpus=None)})]) is False


@pytest.mark.parametrize(
    ("could", "can", "proved"),
    [
        ([True] * 3, [False] * 3, True),
        ([True] * 3, [True, False, False, False], True),
        ([True] * 3, [True] * 5, False),
        ([True] * 3, [False, False, True], False),
        ([True] * 3, [False, False], None),
        ([True] * 3, [True, True, False, False], None),
        ([True] * 2, [False] * 3, None),
        ([False] * 9, [False] * 9, None),
        ([True] * 5 + [False] * 3, [False] * 9, None),
        ([], [], None),
    ],
)
def test_cut_off(could: list[bool], can: list[bool], proved: bool | None) -> None:
    fault = fault_of("pod_partition", port=80, **{"for": "5s"})
    before = [reading(0, connects=could[:2]), reading(1, connects=could[2:])]
    assert mechanism(fault, before, [reading(2, connects=can)]) is proved


def test_pods_that_are_gone_are_not_cut_off() -> None:
    """Nobody can connect to where they were, policy or not."""
    fault = fault_of("pod_partition", port=80, **{"for": "5s"})
    before = [reading(0, connects=[True] * 3)]
    assert mechanism(fault, before, [reading(2, {"c": of()}, connects=[False] * 5)]) is None
    assert mechanism(fault, before, [reading(2, {"b": of()}, connects=[False] * 5)]) is True


@pytest.mark.parametrize(
    ("nodes", "pods", "proved"),
    [
        ({"n": True}, {}, True),
        ({"n": True, "m": False}, {}, False),
        ({"n": True}, {"a": of()}, False),
        ({"n": True}, {"a": of(deleting=True)}, True),
        ({}, {}, False),
    ],
)
def test_drained(nodes: Any, pods: Any, proved: bool) -> None:
    fault = fault_of("node_drain", **{"for": "5s"})
    assert mechanism(fault, BEFORE, [reading(2, pods, nodes=nodes)]) is proved


def test_cordoned() -> None:
    fault = fault_of("node_cordon", **{"for": "5s"})
    assert mechanism(fault, BEFORE, [reading(2, {}, (), nodes={"n": True})]) is True
    assert mechanism(fault, BEFORE, [reading(2, {}, (), nodes={"n": False})]) is False
    used = kubernetes_effect(fault, BEFORE, [reading(2, {}, (), nodes={"n": True})]).use
    assert used is True, "a pod that serves runs on it"
    elsewhere = [reading(0, {}, (), nodes={"n": False}, serving={"a": "m"})]
    after = reading(2, {}, (), nodes={"n": True}, serving={"a": "m"})
    assert kubernetes_effect(fault, elsewhere, [after]).use is False


@pytest.mark.parametrize("fault", [KILL, SIGNAL, fault_of("pod_scale", replicas=1, **{"for": "5s"})])
def test_what_the_cluster_did_not_tell(fault: Fault) -> None:
    effect = kubernetes_effect(fault, BEFORE, [blind(2)])
    assert effect.mechanism is None
    assert "the cluster did not tell (connection refused)" in effect.detail
    assert kubernetes_effect(fault, BEFORE, []).mechanism is None


def gone(at_s: float) -> Reading:
    return reading(at_s, {"b": of()})


@pytest.mark.parametrize(
    ("more", "used"),
    [
        ({"serving": {"a": "n"}, "loaded": True}, True),
        ({"serving": {"b": "n"}, "loaded": True}, False),
        ({"serving": {"a": "n"}, "loaded": False}, None),
        ({"serving": None, "loaded": False}, None),
    ],
)
def test_whether_the_load_reached_them_by_the_service(more: Any, used: bool | None) -> None:
    before = [reading(0, **more), reading(1, **more)]
    assert kubernetes_effect(KILL, before, [gone(2)]).use is used


@pytest.mark.parametrize(
    ("first", "last", "used"),
    [
        ({"a": 0}, {"a": 1_000_000}, True),
        ({"a": 0}, {"a": 900}, None),  # may be probes
        ({"a": 0}, {"b": 1_000_000}, None),  # of another pod
        ({"a": 900}, {"a": 0}, None),
        ({}, {"a": 1_000_000}, None),
    ],
)
def test_whether_the_load_reached_them_by_bytes(first: Any, last: Any, used: bool | None) -> None:
    quiet: dict[str, Any] = {"serving": None, "loaded": False}
    before = [reading(0, received=first, **quiet), reading(1, received=last, **quiet)]
    assert kubernetes_effect(KILL, before, [gone(2)]).use is used
