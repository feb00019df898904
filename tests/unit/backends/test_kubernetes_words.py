"""What readings of a cluster, and its own words, are read as. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.kubernetes.backend import named
from chaos_locust.backends.kubernetes.reading import cpus, is_ready, pods_of, received_bytes, serving
from chaos_locust.backends.kubernetes.scan import read_place
from chaos_locust.backends.kubernetes.victims import _labels, is_movable, text_of
from chaos_locust.errors import BackendError
from tests.servers.kubernetes_api import pod


@pytest.mark.parametrize(
    ("quantity", "value"), [("500m", 0.5), ("2", 2.0), ("0.1", 0.1), ("100000n", 1e-4), ("250u", 2.5e-4)]
)
def test_cpus(quantity: str, value: float) -> None:
    assert cpus(quantity) == pytest.approx(value)


def test_bytes_of_all_devices_but_the_loopback() -> None:
    text = "Inter-| Receive\n face |bytes packets\n    lo: 100 1\n  eth0: 2000 3\n  eth1:30 1\n"
    assert received_bytes(text) == 2030
    assert received_bytes("Inter-| Receive\n    lo: 100 1\n") is None
    assert received_bytes("sh: cat: not found") is None


def test_a_pod_as_a_reading() -> None:
    one = pod("web-1") | {"metadata": {"name": "web-1", "uid": "u1"}}
    status = one["status"]["containerStatuses"][0]
    status |= {"restartCount": 2, "resources": {"limits": {"cpu": "100m"}}}
    (found,) = pods_of([one], None).values()
    assert found == {
        "name": "web-1",
        "container": "web",
        "running": True,
        "ready": True,
        "deleting": False,
        "restarts": 2,
        "node": "node-1",
        "waiting": "",
        "cpus": 0.1,
    }
    for state, words in (
        ({"waiting": {"reason": "ErrImagePull"}}, "ErrImagePull"),
        ({"terminated": {"reason": "Error"}}, "Error"),
        ({"terminated": {"exitCode": 1}}, "terminated"),
        ({}, ""),
    ):
        status["state"] = state
        assert pods_of([one], None)["u1"]["waiting"] == words
    assert pods_of([one], "other")["u1"]["cpus"] is None
    one["metadata"]["deletionTimestamp"] = "now"
    assert not is_ready(one)
    assert pods_of([one], None)["u1"]["deleting"]


def test_who_serves() -> None:
    def endpoint(uid: str, ready: bool) -> dict[str, Any]:
        return {"targetRef": {"uid": uid}, "nodeName": "n", "conditions": {"ready": ready}}

    slices = [{"endpoints": [endpoint("a", True), endpoint("b", False)]}, {"endpoints": None}, {}]
    assert serving(slices) == {"a": "n"}
    assert serving([{"endpoints": [{"conditions": {"ready": True}}]}]) == {}, "it leads to no pod"


def test_selectors_as_text() -> None:
    expressions = [
        {"key": "a", "operator": "In", "values": ["x", "y"]},
        {"key": "b", "operator": "NotIn", "values": ["z"]},
        {"key": "c", "operator": "Exists"},
        {"key": "d", "operator": "DoesNotExist"},
    ]
    found = text_of({"matchLabels": {"app": "web"}, "matchExpressions": expressions})
    assert found == "app=web,a in (x,y),b notin (z),c,!d"


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        ("app=web", {"app": "web"}),
        ("app==web, tier=front", {"app": "web", "tier": "front"}),
        ("app!=web", None),
        ("app in (web)", None),
        ("app", None),
        ("!app", None),
        ("app=web,tier", None),
    ],
)
def test_a_selector_as_a_policy_has_it(selector: str, labels: dict[str, str] | None) -> None:
    assert _labels(selector) == ({} if labels is None else {"matchLabels": labels})


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ({}, True),
        ({"ownerReferences": [{"kind": "ReplicaSet"}]}, True),
        ({"ownerReferences": [{"kind": "DaemonSet"}]}, False),
        ({"ownerReferences": [{"kind": "Node"}]}, False),
        ({"annotations": {"kubernetes.io/config.mirror": "x"}}, False),
    ],
)
def test_what_a_drain_moves(change: dict[str, Any], moves: bool) -> None:
    one = pod("web-1")
    one["metadata"] |= change
    assert is_movable(one) is moves
    one["status"]["phase"] = "Succeeded"
    assert not is_movable(one)


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("", (None, None)),
        ("kubernetes://", (None, None)),
        ("kubernetes://admin@prod", ("admin@prod", None)),
        ("kubernetes://arn:aws:eks:eu:1:cluster/shop", ("arn:aws:eks:eu:1:cluster/shop", None)),
        ("kubernetes://prod?namespace=shop", ("prod", "shop")),
        ("kubernetes://?namespace=shop", (None, "shop")),
    ],
)
def test_places_to_look_at(place: str, found: tuple[str | None, str | None]) -> None:
    assert read_place(place) == found


@pytest.mark.parametrize("query", ["namespace=", "namespace", "space=shop", "namespace=a&namespace=b"])
def test_no_place_to_look_at(query: str) -> None:
    with pytest.raises(BackendError, match="give namespace=NAME, or nothing"):
        read_place(f"kubernetes://prod?{query}")


@pytest.mark.parametrize("part", ["kill", "a" * 80, "ends-with-"])
def test_a_mark_is_a_label_and_a_name_and_tells_its_run(part: str) -> None:
    run = "inject-20261122-015631-abcdef"
    found = named(run, part)
    assert found.startswith(f"chaos-{run}-")
    assert len(found) <= 63
    assert found[-1].isalnum()
    assert found != named(run, part + "x")
    assert found == named(run, part)
