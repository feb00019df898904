"""The object that an experiment becomes, what it tells of itself, and what its records prove."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.base import Reading
from chaos_locust.backends.chaos_mesh.body import MARGIN_S, outline
from chaos_locust.backends.chaos_mesh.effect import chaos_mesh_effect
from chaos_locust.backends.chaos_mesh.object import (
    failure,
    finished,
    hangs,
    is_settled,
    namespaces,
    owned,
    period_s,
    told,
    without,
)
from chaos_locust.backends.chaos_mesh.rights import mesh_rights
from chaos_locust.backends.kubernetes.rights import rights_of_plan
from chaos_locust.errors import BackendError
from chaos_locust.faults.chaos_mesh import ChaosMeshFault
from chaos_locust.plan.model import Plan

Json = dict[str, Any]
WEB: Json = {"mode": "one", "selector": {"labelSelectors": {"app": "web"}}}


def manifest(kind: str = "PodChaos", metadata: Json | None = None, **spec: Any) -> Json:
    about = {"name": "mine"} if metadata is None else metadata
    return {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": kind, "metadata": about, "spec": spec}


def plan(*faults: Json, allowed: tuple[str, ...] = ("shop",)) -> Plan:
    targets = {
        "web": {"kubernetes": {"namespace": "shop", "deployment": "web", "container": "main"}},
        "db": {"kubernetes": {"namespace": "data", "selector": "app=db"}},
    }
    listed = [
        {"name": f"f{index}", "target": "web", "at": f"{60 * index}s", "for": "10s", **each}
        for index, each in enumerate(faults)
    ]
    return Plan.from_json(
        {"name": "p", "kubernetes": {"namespaces": list(allowed)}, "targets": targets, "faults": listed}
    )


def body_of(fault: Json, **given: Any) -> Json:
    of = plan(fault, **given)
    (one,) = of.faults
    assert isinstance(one, ChaosMeshFault)
    return outline(of, one, of.targets["web"], "chaos-r1-it")


# -- the object ---------------------------------------------------------------------------------------------


def test_ours_are_name_label_duration_and_namespaces() -> None:
    given = manifest(
        metadata={"name": "mine", "labels": {"team": "a"}, "annotations": {"why": "x"}, "uid": "1"},
        action="pod-failure",
        duration="99h",
        **WEB,
    )
    body = body_of({"kind": "chaos_mesh", "manifest": given})
    assert body["metadata"] == {
        "name": "chaos-r1-it",
        "namespace": "shop",
        "labels": {
            "team": "a",
            "chaos-locust/mark": "chaos-r1-it",
            "app.kubernetes.io/managed-by": "chaos-locust",
        },
        "annotations": {"why": "x"},
    }
    assert body["spec"] == {
        "action": "pod-failure",
        "mode": "one",
        "selector": {"labelSelectors": {"app": "web"}, "namespaces": ["shop"]},
        "duration": f"{10 + MARGIN_S:g}s",
    }
    assert given["spec"]["duration"] == "99h"
    assert "namespaces" not in WEB["selector"]


def test_of_a_schedule_its_experiments_keep_their_own_time() -> None:
    inner = {"action": "pod-failure", "duration": "2s", **WEB}
    given = manifest("Schedule", schedule="@every 5s", type="PodChaos", podChaos=inner)
    body = body_of({"kind": "chaos_mesh", "manifest": given})
    assert body["spec"]["podChaos"]["duration"] == "2s"
    assert body["spec"]["podChaos"]["selector"]["namespaces"] == ["shop"]
    assert body["spec"]["historyLimit"] > 1  # else what it did could not be seen
    assert "duration" not in body["spec"]
    job = {"metadata": {"name": "chaos-r1-it", "uid": "u"}}
    (owner,) = owned(body, job)["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", "chaos-r1-it", "u")
    endless = manifest("Schedule", schedule="@every 5s", type="PodChaos", podChaos={**inner})
    del endless["spec"]["podChaos"]["duration"]
    assert finished(endless, "m", "shop", 25.0)["spec"]["podChaos"]["duration"] == "25s"


@pytest.mark.parametrize(
    ("when", "every_s"), [("@every 30s", 30.0), ("@hourly", None), ("@every 1m30s", None)]
)
def test_how_often_a_schedule_is_due(when: str, every_s: float | None) -> None:
    assert period_s({"spec": {"schedule": when}}) == every_s


@pytest.mark.parametrize(
    ("metadata", "spec", "refused"),
    [
        ({}, {}, ""),
        ({"namespace": "data"}, {}, "the namespace data is not allowed"),
        ({}, {"selector": {"namespaces": ["shop", "data"]}}, "the namespace data is not allowed"),
        ({}, {"selector": {"pods": {"data": ["db-0"]}}}, "the namespace data is not allowed"),
        ({}, {"selector": {"namespaces": ["kube-system"]}}, "kube-system belongs to Kubernetes itself"),
        (
            {},
            {"target": {"mode": "all", "selector": {"namespaces": ["data"]}}},
            "the namespace data is not allowed",
        ),
        # what is at the other end is in the experiment's own namespace where it does not say
        ({}, {"target": {"mode": "all", "selector": {"labelSelectors": {"a": "b"}}}}, ""),
    ],
)
def test_only_in_the_namespaces_of_the_plan(metadata: Json, spec: Json, refused: str) -> None:
    given = manifest("NetworkChaos", metadata, **{**WEB, "action": "partition", **spec})
    fault = {"kind": "chaos_mesh", "manifest": given}
    if not refused:
        assert namespaces(body_of(fault)) == ["shop"]
        return
    with pytest.raises(BackendError, match=refused):
        body_of(fault)
    if "belongs" not in refused:
        body_of(fault, allowed=("shop", "data"))


def test_our_words_mean_pods_of_the_target_and_its_container() -> None:
    body = body_of({"kind": "mesh_time", "offset": "1h"})
    assert body["kind"] == "TimeChaos"
    assert body["spec"] == {
        "timeOffset": "3600s",
        "mode": "all",
        "selector": {"namespaces": ["shop"], "pods": {"shop": []}},
        "containerNames": ["main"],
        "duration": "25s",
    }
    cut: Json = {"kind": "mesh_network", "partition": True, "to": "db"}
    with pytest.raises(BackendError, match="the namespace data is not allowed"):
        body_of(cut)
    far = body_of(cut, allowed=("shop", "data"))
    assert far["spec"]["target"] == {
        "mode": "all",
        "selector": {"namespaces": ["data"], "pods": {"data": []}},
    }
    assert "containerNames" not in far["spec"]
    with pytest.raises(BackendError, match="to: 'nobody' is no target"):
        body_of({**cut, "to": "nobody"})


def test_rights_are_those_of_the_kind_and_of_what_it_leaves_in_pods() -> None:
    group = "chaos-mesh.org"
    rights = mesh_rights(body_of({"kind": "mesh_network", "partition": True}))
    assert set(rights) == {"shop"}
    assert {("create", group, "networkchaos"), ("delete", group, "networkchaos")} <= set(rights["shop"])
    assert ("update", group, "podnetworkchaos") in rights["shop"]
    assert not any("schedule" in resource for _, _, resource in rights["shop"])
    inner = {"action": "pod-kill", **WEB}
    given = manifest("Schedule", {"namespace": "mesh"}, schedule="@daily", type="PodChaos", podChaos=inner)
    given["spec"]["podChaos"]["selector"] = {"namespaces": ["shop"]}
    fault = {"kind": "chaos_mesh", "manifest": given}
    rights = mesh_rights(body_of(fault, allowed=("shop", "mesh")))
    assert rights["shop"] == [("list", "", "pods")]
    assert {("create", group, "schedules"), ("list", group, "podchaos"), ("create", "batch", "jobs")} <= set(
        rights["mesh"]
    )


def test_one_role_for_all_faults_of_a_plan() -> None:
    """Applied, a Role replaces the one of the same name."""
    of = plan({"kind": "mesh_time", "offset": "1h"}, {"kind": "pod_scale", "replicas": 1})
    where = of.targets["web"].kubernetes
    assert where is not None
    rights = rights_of_plan(of, where)
    assert ("create", "chaos-mesh.org", "timechaos") in rights
    assert ("patch", "apps", "deployments") in rights


# -- what it tells ------------------------------------------------------------------------------------------


def event(operation: str, at: str, error: str = "") -> Json:
    kind = "Failed" if error else "Succeeded"
    return {"operation": operation, "type": kind, "timestamp": at, "message": error}


def record(phase: str = "Injected", pod: str = "shop/web-1", *events: Json, key: str = ".") -> Json:
    counts = {"injectedCount": 1, "recoveredCount": 0}
    return {"id": pod, "phase": phase, "selectorKey": key, "events": list(events), **counts}


def status(*records: Json, **conditions: bool) -> Json:
    """As the API server shows it."""
    given = {
        "Selected": bool(records),
        "AllInjected": all(r["phase"] == "Injected" for r in records),
    } | conditions
    listed = [{"type": name, "status": str(value)} for name, value in given.items()]
    return {
        "metadata": {"name": "it"},
        "status": {"conditions": listed, "experiment": {"containerRecords": list(records)}},
    }


T1, T2 = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"
INJECTED = record("Injected", "shop/web-1", event("Apply", T1))
WAITS = record("Not Injected/Wait", "shop/web-1", event("Apply", T1, "no netem\nin this kernel"))


def test_what_records_tell() -> None:
    found = told(
        status(record("Injected", "shop/web-1/main", event("Apply", T1, "once"), event("Apply", T2)))
    )
    assert (found["selected"], found["injected"]) == (True, True)
    (one,) = found["records"]
    assert (one["pod"], one["injected_at"], one["recovered_at"], one["error"]) == ("shop/web-1", T2, None, "")
    assert told({"metadata": {}})["selected"] is None


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({"metadata": {}}, "is the controller of Chaos Mesh running"),
        (status(Selected=False, AllInjected=False), "it selects no pod"),
        (
            status(INJECTED, WAITS),
            r"1 of 2 are not injected (shop/web-1: Not Injected/Wait): no netem in this",
        ),
    ],
)
def test_why_it_is_not_injected(found: Json, why: str) -> None:
    assert why in failure(told(found))


def test_what_may_be_cleared_by_force() -> None:
    """Never what somebody still has to take out of a pod, nor before Chaos Mesh knows that it is to end."""

    def stopped(*records: Json, phase: str = "Stop") -> Json:
        found = status(*records)
        found["status"]["experiment"]["desiredPhase"] = phase
        return told(found)

    assert hangs(stopped(WAITS, record("Not Injected")))
    assert not hangs(stopped(WAITS, record("Injected")))
    assert not hangs(stopped(WAITS, record("Injected/Wait")))
    assert not hangs(stopped(WAITS, phase="Run"))
    assert not hangs(stopped(record("Not Injected")))
    assert not hangs(stopped())


def test_only_our_rules_are_taken_from_a_pod() -> None:
    rules = {
        "metadata": {"name": "web-1"},
        "spec": {"tcs": [{"source": "shop/it"}, {"source": "shop/other"}], "ipsets": []},
    }
    rest = without(rules, "shop/it")
    assert rest is not None
    assert rest["spec"] == {"tcs": [{"source": "shop/other"}], "ipsets": []}
    assert without(rest, "shop/it") is None
    assert not is_settled({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}})
    assert is_settled({"metadata": {"generation": 2}, "status": {"observedGeneration": 2}})


# -- what it proves -----------------------------------------------------------------------------------------


def pod(name: str, restarts: int = 0) -> Json:
    return {"name": name, "ready": True, "deleting": False, "restarts": restarts, "waiting": "", "cpus": None}


def reading(at_s: float, *experiments: Json, received: int = 0, known: bool = True, **seen: Any) -> Reading:
    """Two pods, of which a load reaches the first."""
    quiet: Reading = {
        "at_s": at_s,
        "error": "",
        "pods": {"u1": pod("web-1"), "u2": pod("web-2")},
        "victims": ["u1", "u2"],
        "nodes": {},
        "serving": None,
        "loaded": False,
        "received": {"u1": received, "u2": 0},
        "connects": [],
        "namespace": "shop",
        "mesh": [told(each) for each in experiments] if known else None,
    }
    return quiet | seen


def fault(kind: str = "mesh_stress", **parameters: Any) -> ChaosMeshFault:
    given = parameters or {"cpu": 1}
    (found,) = plan({"kind": kind, **given}).faults
    assert isinstance(found, ChaosMeshFault)
    return found


BEFORE = [reading(0), reading(1, received=1_000_000)]
GONE = status(INJECTED)
DELETED = {**GONE, "metadata": {"name": "it", "deletionTimestamp": T2}}


def test_all_records_injected_and_the_load_there() -> None:
    seen = [
        reading(2, status(INJECTED), received=2_000_000),
        reading(3, status(INJECTED), received=3_000_000),
    ]
    effect = chaos_mesh_effect(fault(), BEFORE, seen)
    assert (effect.mechanism, effect.use) == (True, True)
    assert effect.detail.startswith(f"all 1 records are Injected (at {T1}), 2,000,000 bytes")


@pytest.mark.parametrize(
    ("during", "mechanism", "why"),
    [
        ([], None, "it was over before"),
        ([reading(2, known=False, error="timed out")], None, "the cluster did not tell (timed out)"),
        ([reading(2, status(INJECTED, WAITS))], False, "1 of 2 are not injected"),
        ([reading(2)], False, "somebody removed"),
        ([reading(2, GONE), reading(3)], False, "somebody removed"),
        ([reading(2, GONE), reading(3, DELETED)], False, "somebody removed"),
        (
            [
                reading(2, GONE),
                reading(3, status(record("Not Injected", "shop/web-1", event("Recover", T2)))),
            ],
            False,
            f"though it was injected at {T1}",
        ),
        # a moment in which the cluster does not answer proves nothing
        ([reading(2, GONE), reading(3, known=False, error="x"), reading(4, GONE)], True, "all 1 records"),
        (
            [reading(2, GONE), reading(3, GONE, pods={"u1": pod("web-1", 1)})],
            True,
            "1 of their containers were started again since",
        ),
    ],
)
def test_mechanism(during: list[Reading], mechanism: bool | None, why: str) -> None:
    effect = chaos_mesh_effect(fault(), BEFORE, during)
    assert effect.mechanism is mechanism
    assert why in effect.detail


def test_use_is_of_the_pods_that_it_chose() -> None:
    """The load reaches the other one."""
    other = status(record("Injected", "shop/web-2", event("Apply", T1)))
    during = [reading(2, other, received=2_000_000), reading(3, other, received=3_000_000)]
    assert chaos_mesh_effect(fault(), BEFORE, during).use is None
    strange = status(record("Injected", "data/web-1", event("Apply", T1)))
    effect = chaos_mesh_effect(fault(), BEFORE, [reading(2, strange, received=2_000_000)])
    assert effect.use is None
    assert "none of the pods that it chose was seen" in effect.detail
    far = record("Injected", "shop/web-1", event("Apply", T1), key=".Target")
    cut = status(record("Injected", "shop/web-2", event("Apply", T1)), far)
    assert chaos_mesh_effect(fault(), BEFORE, [reading(2, cut, received=2_000_000)]).use is None


def test_use_just_before_counts_where_nothing_gets_through_any_more() -> None:
    quiet = [reading(at_s, GONE, received=1_000_000) for at_s in (2, 3, 4)]
    assert chaos_mesh_effect(fault("mesh_network", partition=True), BEFORE, quiet).use is True
    assert chaos_mesh_effect(fault("mesh_network", rate="1MB/s"), [*BEFORE, quiet[0]], quiet).use is None
    unused = [reading(0), reading(1)]
    assert chaos_mesh_effect(fault("mesh_network", partition=True), unused, [reading(2, GONE)]).use is None


def test_use_by_the_service_that_the_load_calls() -> None:
    serving = {"loaded": True, "serving": {"u1": "n1"}}
    during = [reading(2, GONE, **serving), reading(3, GONE, **serving)]
    assert chaos_mesh_effect(fault(), [reading(1, **serving)], during).use is True
    away = {"loaded": True, "serving": {"u2": "n1"}}
    assert chaos_mesh_effect(fault(), [reading(1, **away)], [reading(2, GONE, **away)]).use is False


def test_a_schedule_acts_by_what_it_makes() -> None:
    given = manifest(
        "Schedule", schedule="@every 5s", type="PodChaos", podChaos={"action": "pod-kill", **WEB}
    )
    repeated = fault("chaos_mesh", manifest=given)
    done, begun = status(INJECTED), status(record("Not Injected"))
    over = status(record("Not Injected", "shop/web-1", event("Apply", T1), event("Recover", T2)))

    def effect(*experiments: Json) -> Any:
        return chaos_mesh_effect(repeated, BEFORE, [reading(2, *experiments, received=2_000_000)])

    assert effect().mechanism is False
    assert "was not due yet" in effect().detail
    assert effect(begun).mechanism is False
    assert effect(over, done, begun).mechanism is True
    assert f"2 of 3 experiments were injected (at {T1})" in effect(over, done, begun).detail
    assert effect(done, status(WAITS)).mechanism is False
    # what it no longer keeps was there all the same
    later = [reading(2, over, done), reading(3, done)]
    assert "2 of 2 experiments" in chaos_mesh_effect(repeated, BEFORE, later).detail
