"""Keys of ConfigMaps and Secrets: changed, put back, and told to nobody who may not read them."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.backends.kubernetes.rollout_effect import configured, stays_unready
from chaos_locust.errors import BackendError
from chaos_locust.faults.kubernetes_config import ConfigChange
from chaos_locust.faults.registry import parse_fault
from tests.servers.kubernetes_api import Answer, FakeApi, config_map, pod, served, workload
from tests.servers.kubernetes_world import World

TARGET = {"namespace": "shop", "deployment": "web"}
COMMON: dict[str, Any] = {"name": "it", "target": "web", "at": "1s", "for": "30s"}
OLD = base64.b64encode(b"\xff old").decode()
SECRET = {"config_map": None, "secret": "password", "set": {"word": "wrong", "new": "1"}}
MAP = {"config_map": "settings", "set": {"limit": "1", "new": "2", "other": None}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    api = FakeApi()
    api.add("deployments", workload())
    api.add("pods", pod("web-0"))
    api.add("configmaps", config_map())
    about = {"name": "password", "namespace": "shop"}
    api.add("secrets", {"metadata": about, "data": {"word": OLD, "same": "c2FtZQ=="}})
    with served(api, tmp_path) as config:
        yield World(api, config)


def data(world: World, secret: bool) -> dict[str, str]:
    key = ("secrets", "shop", "password") if secret else ("configmaps", "shop", "settings")
    found: dict[str, str] = world.api.objects[key]["data"]
    return found


def inject(world: World, secret: bool, **more: Any) -> Any:
    return world.inject("config_change", TARGET, **((SECRET if secret else MAP) | more))


@pytest.mark.parametrize("secret", [False, True])
def test_they_are_as_they_were(world: World, secret: bool) -> None:
    was = dict(data(world, secret))
    undo = inject(world, secret)
    if secret:
        assert data(world, True) == {"word": "d3Jvbmc=", "new": "MQ==", "same": "c2FtZQ=="}
    else:
        assert data(world, False) == {"limit": "1", "new": "2"}
    assert world.backend.verify(undo) is False
    for _ in range(2):
        world.backend.revert(undo)
        assert world.backend.verify(undo)
    assert data(world, secret) == was
    assert world.marked() == []
    assert world.names("secrets") | world.names("configmaps") == {"settings", "password"}


@pytest.mark.parametrize("secret", [False, True])
def test_they_are_found_without_a_lease(world: World, secret: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    was = dict(data(world, secret))
    inject(world, secret)
    monkeypatch.setenv("KUBECONFIG", world.config)
    world.api.calls.clear()
    (undo,) = world.backend.scan("kubernetes://fake")
    assert not [path for _, path in world.api.calls if path.endswith("/secrets")], "Secrets are not listed"
    world.backend.revert(undo)
    assert world.backend.verify(undo)
    assert data(world, secret) == was
    assert world.marked() == []
    assert world.backend.scan("kubernetes://fake") == []


def test_a_secret_stays_one(world: World) -> None:
    """What was before is in no lease, no reading, no label and no annotation."""
    undo = inject(world, True)
    plan = world.plan("config_change", TARGET, **SECRET)
    reading = world.backend.observe(plan.faults[0], undo)
    assert reading["config"] == {"there": True, "shown": {}}
    about = [each["metadata"] for each in world.api.objects.values()]
    told = json.dumps([undo, reading, about, world.backend.describe(undo)])
    for word in (OLD, " old", "\\udcff old"):
        assert word not in told
    copy = world.api.objects["secrets", "shop", "chaos-r1-it"]
    assert copy["data"] == {"word": OLD}


def test_only_what_is_still_ours_is_put_back(world: World) -> None:
    undo = inject(world, False)
    data(world, False)["limit"] = "7"
    world.backend.revert(undo)
    assert data(world, False) == {"limit": "7", "other": "same"}
    assert world.marked() == []


@pytest.mark.parametrize("secret", [False, True])
def test_killed_at_any_call_it_is_undone(world: World, secret: bool) -> None:
    """Of an injection that broke off after so many calls that change something."""
    was = dict(data(world, secret))
    for calls in range(1, 6):
        done: list[str] = []

        def trouble(
            method: str, path: str, query: Any, done: list[str] = done, calls: int = calls
        ) -> Answer | None:
            if method in ("POST", "PATCH"):
                done.append(path)
            return Answer(0) if len(done) >= calls else None

        fault, undo = world.prepare("config_change", TARGET, **(SECRET if secret else MAP))
        world.api.trouble = trouble
        with contextlib.suppress(BackendError):
            world.backend.inject(fault, undo)
        world.api.trouble = lambda method, path, query: None
        world.backend.revert(undo)
        assert world.backend.verify(undo), calls
        assert data(world, secret) == was
        assert world.marked() == []


def test_without_its_copy_it_is_told_and_not_guessed(world: World) -> None:
    undo = inject(world, False)
    del world.api.objects["configmaps", "shop", "chaos-r1-it"]
    with pytest.raises(BackendError, match=r"configmap settings is changed by chaos-r1-it, and its copy"):
        world.backend.revert(undo)
    assert world.backend.verify(undo) is False


def test_a_restart_is_done_and_done_again(world: World) -> None:
    def restarted() -> str | None:
        template = world.api.objects["deployments", "shop", "web"]["spec"]["template"]["metadata"]
        found: str | None = template.get("annotations", {}).pop("kubectl.kubernetes.io/restartedAt", None)
        return found

    undo = inject(world, False, restart=True)
    assert restarted()
    world.backend.revert(undo)
    assert restarted(), "the pods read what is there again"
    world.backend.revert(undo)
    assert restarted() is None


@pytest.mark.parametrize(
    ("target", "parameters", "words"),
    [
        (TARGET, {"config_map": "none"}, "there is no configmap none in the namespace shop"),
        (TARGET, {"set": {"limit": "100"}}, "configmap settings has these values already"),
        (TARGET, {"set": {"gone": None}}, "configmap settings has these values already"),
        (TARGET, {"set": {"raw": "1"}}, "configmap settings: raw is binary data"),
        ({"namespace": "shop", "selector": "app=web"}, {"restart": True}, "restart needs a deployment"),
    ],
)
def test_what_cannot_be_done_is_told_before_the_load(
    world: World, target: Any, parameters: Any, words: str
) -> None:
    world.api.objects["configmaps", "shop", "settings"]["binaryData"] = {"raw": "AA=="}
    (told,) = world.problems("config_change", target, **(MAP | parameters))
    assert words in told
    assert world.marked() == []


@pytest.mark.parametrize(
    ("parameters", "missing"),
    [
        (MAP, {("patch", "configmaps")}),
        (SECRET, {("create", "secrets"), ("create", "configmaps")}),
        (MAP | {"restart": True}, {("patch", "deployments")}),
        ({"config_map": "settings", "set": {"limit": "1"}, "mounted_at": "/x"}, {("create", "pods/exec")}),
    ],
)
def test_rights(world: World, parameters: Any, missing: set[tuple[str, str]]) -> None:
    world.api.denied = missing
    (told, *_) = world.problems("config_change", TARGET, **parameters)
    for verb, resource in missing:
        assert f"{verb} {resource}" in told


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"config_map": "a", "secret": "b"}, "config_map: both are given; give config_map or secret"),
        ({}, "config_map: neither is given"),
        ({"config_map": "a", "set": {}}, "set: is empty"),
        ({"config_map": "a", "set": {"a b": "1"}}, "set: 'a b' is no key"),
        ({"config_map": "a", "mounted_at": "x"}, "mounted_at: 'x' is not allowed; give an absolute path"),
        ({"config_map": "a", "mounted_at": "/x", "set": {"a": "1", "b": "2"}}, "mounted_at: shows one key"),
    ],
)
def test_what_is_no_plan(parameters: Any, words: str) -> None:
    found = parse_fault({"kind": "config_change", **COMMON, "set": {"a": "1"}, **parameters}, "faults[0]")
    assert isinstance(found, list)
    assert any(str(problem).startswith(f"faults[0].{words}") for problem in found), found


# -- what is proved ------------------------------------------------------------------------------------------


def seen(there: bool | None = True, pods: Any = ("a",), at_s: float = 0, **shown: bool) -> Any:
    of = {uid: {"ready": uid.islower(), "running": True} for uid in pods}
    config = None if there is None else {"there": there, "shown": shown}
    return {"at_s": at_s, "pods": of, "config": config}


PLAIN = ConfigChange(**COMMON, config_map="a", set={"a": "1"})
RESTART = ConfigChange(**COMMON, config_map="a", set={"a": "1"}, restart=True)
FILE = ConfigChange(**COMMON, config_map="a", set={"a": "1"}, mounted_at="/a")
BEFORE = [seen(False)]


@pytest.mark.parametrize(
    ("fault", "before", "during", "proved"),
    [
        (PLAIN, BEFORE, [seen()], True),
        (PLAIN, BEFORE, [seen(), seen(False)], True),
        (PLAIN, BEFORE, [seen(False)], False),
        (PLAIN, BEFORE, [seen(None)], None),
        (RESTART, BEFORE, [seen()], False),
        (RESTART, BEFORE, [seen(pods=("a", "b"))], True),
        (RESTART, [], [seen(pods=("a", "b"))], None),
        (FILE, BEFORE, [seen(a=True)], True),
        (FILE, BEFORE, [seen(a=False), seen(a=True)], True),
        (FILE, BEFORE, [seen(a=True, b=False)], False),
        (FILE, BEFORE, [seen()], None),
        (FILE, BEFORE, [seen(False, a=True)], False),
    ],
)
def test_values_are_there(fault: ConfigChange, before: Any, during: Any, proved: bool | None) -> None:
    assert configured(fault, before, during)[0] is proved


@pytest.mark.parametrize(
    ("before", "during", "proved"),
    [
        (BEFORE, [seen(pods=("a", "B"), at_s=1), seen(pods=("a", "B"), at_s=4)], True),
        (BEFORE, [seen(pods=("a", "B"), at_s=1), seen(pods=("a", "B"), at_s=3.9)], False),
        (BEFORE, [seen(pods=("a", "B", "c"), at_s=1), seen(pods=("a", "B", "c"), at_s=9)], False),
        (BEFORE, [seen(pods=("a",), at_s=1), seen(pods=("a",), at_s=9)], False),
        ([], [seen(pods=("a", "B"), at_s=1), seen(pods=("a", "B"), at_s=4)], None),
    ],
)
def test_new_pods_stay_unready(before: Any, during: Any, proved: bool | None) -> None:
    """In capitals: those that are not ready."""
    assert stays_unready(before, during)[0] is proved
