"""What pods of a real cluster are configured by, and what readiness they have: changed, seen, put back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaos_locust.backends.kubernetes.config import holds_ours
from tests.servers.kubernetes_rig import OLD, Rig, Space, until


@pytest.fixture(autouse=True)
def whole(space: Space) -> None:
    until(space.is_whole, "all pods are ready")


def secret(space: Space) -> Any:
    return space.ask("GET", "/api/v1/{ns}/secrets/password")["data"]


def test_a_secret_and_the_pods_that_read_it(space: Space) -> None:
    was, pods = secret(space), {pod["metadata"]["uid"] for pod in space.pods()}
    changes = {"config_map": None, "mounted_at": None, "secret": "password", "set": {"word": "wrong"}}
    rig = Rig(space, "config_change", run_id=f"secret-{space.name}", restart=True, **changes)
    assert rig.problems() == []
    rig.look_before()
    rig.inject()
    assert holds_ours(rig.backend._of(rig.undo), rig.undo["changes"][0])
    assert secret(space)["word"] == "d3Jvbmc="
    until(rig.acts, "new pods came")
    original = space.ask("GET", "/api/v1/{ns}/secrets/password")["metadata"]
    for told in (rig.undo, rig.during, original):
        assert OLD not in json.dumps(told)
    (undo,) = rig.scan()
    rig.backend.revert(undo)
    rig.revert()
    assert secret(space) == was
    assert space.marked() == []
    until(space.is_whole, "all pods are ready again")
    assert not pods & {pod["metadata"]["uid"] for pod in space.pods()}


def test_an_immutable_object_is_refused(space: Space) -> None:
    body = {"metadata": {"name": "fixed"}, "immutable": True, "data": {"limit": "1"}}
    space.ask("POST", "/api/v1/{ns}/configmaps", body)
    changes = {"config_map": "fixed", "mounted_at": None, "set": {"limit": "2"}}
    (told,) = Rig(space, "config_change", **changes).problems()
    assert "immutable" in told
    assert len(told.splitlines()) == 1
    assert space.marked() == []


def test_endpoints_that_are_not_ready(space: Space) -> None:
    """A service does not lead to what its probe finds unready; who was ready before still is."""

    def ready() -> list[bool]:
        path = "/apis/discovery.k8s.io/v1/{ns}/endpointslices"
        (part,) = space.ask("GET", path, labelSelector="kubernetes.io/service-name=web")["items"]
        return sorted(each["conditions"]["ready"] for each in part["endpoints"])

    rig = Rig(space, "rollout_unready")
    rig.look_before()
    until(lambda: ready() == [True] * 3, "the service leads to all")
    rig.inject()
    try:
        until(rig.acts, "a new pod stays unready")
        assert ready() == [False, True, True, True]
    finally:
        rig.revert()
    until(lambda: ready() == [True] * 3, "the service leads to all again")


def test_a_stateful_set_is_not_stuck_with_the_probe(space: Space) -> None:
    space.apply("statefulset", "db", replicas=2)
    rig = Rig(space, "rollout_unready", {"namespace": space.name, "statefulset": "db"})
    rig.look_before()
    rig.inject()
    until(lambda: rig.effect().mechanism, "a pod stays unready")
    rig.revert()
    until(lambda: space.is_whole("db", "statefulset", 2), "all its pods are ready again")
    assert space.marked() == []
