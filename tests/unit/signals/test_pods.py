"""What is known of pods from the events of watches."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.kubernetes.reading import scales
from chaos_locust.signals.pods import Pods


def pod(uid: str, ready: bool = True, restarts: int = 0, killed_at: str = "", **about: Any) -> dict[str, Any]:
    last = {"terminated": {"reason": "OOMKilled", "finishedAt": killed_at}} if killed_at else {}
    container = {"name": "web", "restartCount": restarts, "state": {"running": {}}, "lastState": last}
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"conditions": conditions, "containerStatuses": [container]}
    return {"metadata": {"uid": uid, **about}, "status": status}


def scaler(desired: int | None, current: int | None) -> dict[str, Any]:
    status = {"desiredReplicas": desired, "currentReplicas": current}
    return {"status": {key: value for key, value in status.items() if value is not None}}


def test_ready_beside_wanted() -> None:
    pods = Pods()
    pods.look([pod("a"), pod("b"), pod("c", ready=False)])
    assert pods.read("ready_replicas") == 2
    assert pods.read("missing_replicas") is None, "it is not known what is wanted"
    assert pods.read("desired_replicas") is None
    pods.want({"spec": {"replicas": 3}})
    assert (pods.read("desired_replicas"), pods.read("missing_replicas")) == (3, 1)
    pods.change("MODIFIED", pod("c"))
    pods.change("MODIFIED", pod("a", deletionTimestamp="now"))
    pods.change("DELETED", pod("a"))
    assert (pods.read("ready_replicas"), pods.read("missing_replicas")) == (2, 1)
    pods.want({"spec": {"replicas": 1}})
    assert pods.read("missing_replicas") == 0, "none is missing where there are more"


def test_what_an_autoscaler_tells() -> None:
    pods = Pods()
    assert (pods.read("hpa_desired"), pods.read("hpa_current")) == (None, None)
    pods.scale(scaler(None, 2))  # it has not decided anything yet
    assert (pods.read("hpa_desired"), pods.read("hpa_current")) == (None, 2)
    pods.scale(scaler(4, 2))
    assert (pods.read("hpa_desired"), pods.read("hpa_current")) == (4, 2)
    pods.scale(None)
    assert pods.read("hpa_desired") is None


@pytest.mark.parametrize(
    ("kind", "name", "ours"),
    [("Deployment", "web", True), ("StatefulSet", "web", False), ("Deployment", "x", False)],
)
def test_whose_autoscaler_it_is(kind: str, name: str, ours: bool) -> None:
    found = {"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}}}
    assert scales(found, ("deployment", "web")) is ours


def test_restarts_count_from_the_first_look() -> None:
    pods = Pods()
    pods.look([pod("a", restarts=4, killed_at="noon")])
    assert (pods.read("restarts"), pods.read("oom_killed")) == (0, 0)
    pods.change("MODIFIED", pod("a", restarts=5, killed_at="noon"))
    pods.change("MODIFIED", pod("a", restarts=6, killed_at="one"))
    pods.change("ADDED", pod("new", restarts=1))
    assert (pods.read("restarts"), pods.read("oom_killed")) == (3, 1)
    pods.look([pod("a", restarts=8, killed_at="two")])  # after the watch broke off
    assert (pods.read("restarts"), pods.read("oom_killed")) == (5, 2)
