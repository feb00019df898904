"""Every kind of fault in a cluster: injected, its effect seen, found by its mark, undone, nothing left."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.errors import BackendError
from chaos_locust.faults.kubernetes import KubernetesFault
from chaos_locust.faults.registry import BUILT_IN
from tests.servers.kubernetes_rig import IMAGE, Rig, Space, connected, until

ON_NODES = ("node_cordon", "node_drain")


def rig_of(space: Space, kind: str) -> Rig:
    if kind not in ON_NODES:
        return Rig(space, kind, run_id=f"kinds-{space.name}")
    node = space.pods()[0]["spec"]["nodeName"]
    target = {"node": node, "namespace": space.name, "service": "web"}
    return Rig(space, kind, target, run_id=f"kinds-{space.name}")


FAULTS = [cls for cls in BUILT_IN if issubclass(cls, KubernetesFault)]


@pytest.mark.parametrize("kind", [cls.kind for cls in FAULTS])
def test_acts_and_is_undone(space: Space, kind: str) -> None:
    until(space.is_whole, "all pods are ready")
    rig = rig_of(space, kind)
    problems = rig.problems()
    if kind == "node_drain" and problems and "would evict pods of the namespace" in problems[0]:
        pytest.skip(f"needs a node without pods of other namespaces: {problems[0]}")
    assert problems == []
    was, pods = state_of(space), {pod["metadata"]["uid"] for pod in space.pods()}
    try:
        rig.open()
        rig.look_before(connected if kind == "pod_partition" else lambda found: len(found) > 1)
        assert not rig.backend.effect(rig.fault, rig.before, rig.before).mechanism
        rig.inject()
        until(rig.acts, f"its effect is seen; last: {rig.during[-1:]}")
        if not rig.fault.instant:
            assert state_of(space) != was
            assert rig.backend.verify(rig.undo) is False
            found = rig.scan()
            assert found, "it is found though nobody has its lease"
            for undo in found:
                rig.backend.revert(undo)
                assert rig.backend.verify(undo)
            assert rig.scan() == []
        rig.revert()
    finally:
        if not rig.fault.instant:
            rig.backend.revert(rig.undo)
        rig.close()
    until(lambda: space.marked() == [], f"nothing of it is left, but {space.marked()}")
    until(space.is_whole, "all pods are ready again")
    assert state_of(space) == was
    if kind in ("pod_kill", "pod_evict"):
        assert len(pods & {pod["metadata"]["uid"] for pod in space.pods()}) == 2


def state_of(space: Space) -> Any:
    """All that faults change, and have to put back."""
    spec = space.workload()["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    policies = space.ask("GET", "/apis/networking.k8s.io/v1/{ns}/networkpolicies")["items"]
    jobs = space.ask("GET", "/apis/batch/v1/{ns}/jobs")["items"]
    nodes = space.ask("GET", "/api/v1/nodes")["items"]
    limits = [pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] for pod in space.pods()]
    return (
        spec["replicas"],
        container["image"],
        container["readinessProbe"],
        space.ask("GET", "/api/v1/{ns}/configmaps/settings")["data"],
        space.marked(),
        set(limits),
        [policy["metadata"]["name"] for policy in policies],
        [job["metadata"]["name"] for job in jobs],
        [node["metadata"]["name"] for node in nodes if node["spec"].get("unschedulable")],
    )


def test_a_stateful_set_is_not_stuck_with_the_image(space: Space) -> None:
    """It waits for its newest pod, also where that pod never will be ready: it has to be taken away."""
    space.apply("statefulset", "db", replicas=2)
    target = {"namespace": space.name, "statefulset": "db"}
    rig = Rig(space, "rollout_image", target)
    assert rig.problems() == []
    rig.look_before()
    rig.inject()
    until(lambda: rig.effect().mechanism, "a pod waits for its image")
    rig.revert()
    until(lambda: space.is_whole("db", "statefulset", 2), "all its pods are ready again")
    assert space.marked() == []


def test_a_second_fault_keeps_off_what_one_has_changed(space: Space) -> None:
    until(space.is_whole, "all pods are ready")
    first = Rig(space, "pod_scale", run_id="a")
    second = Rig(space, "rollout_image", run_id="b")
    first.inject()
    (told,) = second.problems()
    assert "deployment web is changed by chaos-a-it already; `chaos-locust cleanup --scan`" in told
    second.undo = second.backend.prepare("b", second.plan, second.fault, second.target)
    second.revert()
    assert space.workload()["spec"]["replicas"] == 1
    assert space.marked() == ["deployments web"]
    first.revert()
    assert space.workload()["spec"]["replicas"] == 3
    assert space.marked() == []


def test_only_what_is_still_ours_is_put_back(space: Space) -> None:
    until(space.is_whole, "all pods are ready")
    rig = Rig(space, "pod_scale", replicas=1)
    rig.inject()
    space.ask("PATCH", "/apis/apps/v1/{ns}/deployments/web", {"spec": {"replicas": 2}})  # somebody else
    rig.revert()
    assert space.workload()["spec"]["replicas"] == 2
    assert space.marked() == []
    space.ask("PATCH", "/apis/apps/v1/{ns}/deployments/web", {"spec": {"replicas": 3}})


def test_what_is_gone_is_clean(space: Space) -> None:
    space.apply("deployment", "short", replicas=1)
    rig = Rig(space, "pod_scale", {"namespace": space.name, "deployment": "short"}, replicas=2)
    rig.inject()
    space.ask("DELETE", "/apis/apps/v1/{ns}/deployments/short")
    rig.revert()


def test_a_label_of_which_nobody_knows_what_was_before_is_told(space: Space) -> None:
    rig = Rig(space, "pod_scale", run_id=f"lost-{space.name}")
    rig.inject()
    path, note = "/apis/apps/v1/{ns}/deployments/web", {"chaos-locust/undo": "{damaged"}
    space.ask("PATCH", path, {"metadata": {"annotations": note}})
    (undo,) = rig.scan()
    with pytest.raises(BackendError, match=r"deployment web has our label .* tells what was before"):
        rig.backend.revert(undo)
    assert rig.backend.verify(undo) is False
    rig.revert()  # by the lease it is known
    assert rig.scan() == []


def test_nobody_uses_it(space: Space) -> None:
    """Without a service that the load calls, and no bytes but those of probes: it cannot be told."""
    space.apply("deployment", "idle", replicas=2)
    rig = Rig(space, "pod_kill", {"namespace": space.name, "deployment": "idle"})
    rig.look_before()
    rig.inject()
    effect = rig.effect()
    assert effect.mechanism is True
    assert effect.use is None, effect


def test_a_partition_beside_a_policy_that_allows_all_is_seen_not_to_act(space: Space) -> None:
    """Policies only add: what another allows is allowed."""
    until(space.is_whole, "all pods are ready")
    allow = {
        "metadata": {"name": "allow-all"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]},
    }
    space.ask("POST", "/apis/networking.k8s.io/v1/{ns}/networkpolicies", allow)
    rig = Rig(space, "pod_partition", image=IMAGE)
    assert rig.problems() == []
    try:
        rig.open()
        rig.look_before(connected)
        rig.inject()
        until(lambda: rig.effect().mechanism is not None, "our own pod has tried to connect")
        effect = rig.effect(5)
        assert effect.mechanism is False, effect
        assert "still connects: no network enforces the policy" in effect.detail
    finally:
        rig.backend.revert(rig.undo)
        rig.close()
        space.ask("DELETE", "/apis/networking.k8s.io/v1/{ns}/networkpolicies/allow-all")
    until(lambda: space.marked() == [], "nothing of it is left")


def test_a_partition_that_nobody_undoes_is_ended_by_the_cluster(space: Space) -> None:
    """As when the run and its guardian are dead: the Job's deadline is the fault's, and 15 s more."""
    until(space.is_whole, "all pods are ready")
    rig = Rig(space, "pod_partition", image=IMAGE, **{"for": "1s"})
    rig.inject()
    assert [each.split()[0] for each in space.marked()] == ["pods", "jobs", "networkpolicies"]
    until(lambda: space.marked() == [], "the cluster has removed it")
    assert rig.backend.verify(rig.undo)
