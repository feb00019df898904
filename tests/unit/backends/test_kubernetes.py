"""Faults in a cluster against a small API server: who is drawn, what is changed, put back and told."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos_locust.backends.kubernetes import acts as kubernetes_acts
from chaos_locust.backends.kubernetes.backend import KubernetesBackend
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.errors import BackendError
from chaos_locust.faults.registry import KINDS
from chaos_locust.plan.model import Plan
from tests.servers.kubernetes_api import (
    Answer,
    FakeApi,
    config_map,
    node,
    pod,
    refusal,
    served,
    service,
    workload,
)
from tests.servers.kubernetes_world import World


@pytest.fixture
def api() -> FakeApi:
    made = FakeApi()
    made.add("deployments", workload())
    made.add("services", service())
    made.add("configmaps", config_map())
    for number in range(5):
        made.add("pods", pod(f"web-{number}"))
    for name in ("node-1", "node-2"):
        made.add("nodes", node(name))
    return made


@pytest.fixture
def world(api: FakeApi, tmp_path: Path) -> Iterator[World]:
    with served(api, tmp_path) as config:
        yield World(api, config)


def drawn(undo: Any) -> list[str]:
    return sorted(each["name"] for each in undo["victims"])


# -- who is drawn --------------------------------------------------------------------------------------------


def test_the_seed_draws(world: World) -> None:
    draws = {seed: drawn(world.prepare("pod_kill", seed=seed, count=2)[1]) for seed in range(1, 9)}
    assert draws == {seed: drawn(world.prepare("pod_kill", seed=seed, count=2)[1]) for seed in draws}
    assert len({tuple(each) for each in draws.values()}) > 1


@pytest.mark.parametrize(("count", "many"), [(1, 1), ("40%", 2), ("41%", 3), ("1%", 1), ("all", 5)])
def test_so_many(world: World, count: Any, many: int) -> None:
    assert len(drawn(world.prepare("pod_kill", count=count)[1])) == many


def test_only_pods_that_are_ready_are_drawn(world: World) -> None:
    for number in (0, 1, 2):
        world.api.add("pods", pod(f"web-{number}", ready=False))
    world.api.add("pods", pod("other", app="other"))
    assert drawn(world.prepare("pod_kill", count="all")[1]) == ["web-3", "web-4"]
    (told,) = world.problems("pod_kill", count=3)
    assert "3 ready pods of deployment web in shop are asked for, and there are 2" in told
    (told,) = world.problems("pod_kill", count=2)
    assert "deployment web in shop has 2 ready pods, and pod_kill would leave none" in told
    assert world.problems("pod_kill", count="all") == []


def test_the_pod_that_this_runs_in_is_never_touched(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.1.0.1")
    monkeypatch.setattr(socket, "gethostname", lambda: "web-3")
    (told,) = world.problems("pod_kill", count="all")
    assert "the pod that this program runs in is one of them, and never touched" in told
    (told,) = world.problems("node_drain", {"node": "node-1"})
    assert "the pod that this program runs in is one of them" in told
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    assert world.problems("pod_kill", count="all") == [], "a pod elsewhere may have the name of this machine"


@pytest.mark.parametrize("key", ["hostPID", "shareProcessNamespace"])
def test_process_1_of_the_node_gets_no_signal(world: World, key: str) -> None:
    for number in range(5):
        world.api.add("pods", pod(f"web-{number}", **{key: True}))
    (told,) = world.problems("pod_signal")
    assert f"has {key}: its process 1 is not that of the container" in told
    with pytest.raises(BackendError, match=key):
        world.prepare("pod_signal")


def test_a_cordoned_node_is_not_drawn(world: World) -> None:
    world.api.add("nodes", node("node-1", unschedulable=True))
    _, undo = world.prepare("node_cordon", {"nodes": "pool=all"}, count="all")
    assert undo["nodes"] == ["node-2"]
    (told,) = world.problems("node_cordon", {"node": "node-1"})
    assert "1 node node-1 that are ready and take pods are asked for, and there are 0" in told


def test_a_drain_takes_what_it_may(world: World) -> None:
    keeper = pod("agent")
    keeper["metadata"]["ownerReferences"] = [{"kind": "DaemonSet"}]
    world.api.add("pods", keeper)
    world.api.add("pods", pod("web-4", node="node-2"))
    _, undo = world.prepare("node_drain", {"node": "node-1"})
    assert drawn(undo) == ["web-0", "web-1", "web-2", "web-3"]
    assert "most_pods is 3" in world.problems("node_drain", {"node": "node-1"}, most_pods=3)[0]
    for namespace, words in (
        ("bank", "is not in kubernetes.namespaces"),
        ("kube-system", "belongs to Kubern"),
    ):
        strange = pod("strange")
        strange["metadata"]["namespace"] = namespace
        world.api.add("pods", strange)
        (told,) = world.problems("node_drain", {"node": "node-1"})
        assert f"of the namespace {namespace}, which {words}" in told


@pytest.mark.parametrize(
    ("host", "spec", "called"),
    [
        ("http://web.shop", {}, True),
        ("http://web.shop.svc.cluster.local:80", {}, True),
        ("http://10.1.0.1", {}, True),
        ("http://node:31000", {"ports": [{"port": 80, "nodePort": 31000}]}, True),
        ("http://shop.example", {}, False),  # it has no port, nor has the service one of the nodes
        ("http://web.shopping", {}, False),
        ("http://web", {}, False),
        ("http://node:31001", {"ports": [{"port": 80, "nodePort": 31000}]}, False),
        ("http://none", {"clusterIPs": ["None"]}, False),
    ],
)
def test_whether_the_load_calls_the_service(world: World, host: str, spec: Any, called: bool) -> None:
    world.api.add("services", service(**spec))
    plan = Plan.from_json(world.plan("pod_kill").to_json() | {"host": host})
    undo = world.backend.prepare("r1", plan, plan.faults[0], plan.targets["web"])
    assert undo["service"] == {"name": "web", "loaded": called}


# -- what is changed, and put back ---------------------------------------------------------------------------

LASTING = {
    "pod_scale": ("deployments", "web", None),
    "rollout_image": ("deployments", "web", None),
    "rollout_unready": ("deployments", "web", None),
    "pod_cpu": ("pods", None, None),
    "node_cordon": ("nodes", "node-1", {"node": "node-1"}),
}


@pytest.mark.parametrize("kind", LASTING)
def test_it_is_as_it_was(world: World, kind: str) -> None:
    target = LASTING[kind][2]
    was = json.loads(json.dumps(sorted(world.api.objects.items())))
    undo = world.inject(kind, target)
    now = json.loads(json.dumps(sorted(world.api.objects.items())))
    assert now != was
    assert world.backend.verify(undo) is False
    for _ in range(2):
        world.backend.revert(undo)
        assert world.backend.verify(undo) is True
    now = sorted(world.api.objects.items())
    for _, each in now:  # an empty mapping is as good as none
        if each["metadata"].get("annotations") == {}:
            del each["metadata"]["annotations"]
        if each["metadata"].get("labels") == {} and each["metadata"]["name"] == "web":
            del each["metadata"]["labels"]
    assert json.loads(json.dumps(now)) == was


@pytest.mark.parametrize("kind", LASTING)
def test_it_is_found_without_a_lease(world: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world.inject(kind, LASTING[kind][2])
    monkeypatch.setenv("KUBECONFIG", world.config)
    (undo,) = world.backend.scan("kubernetes://fake")
    assert undo["mark"] == "chaos-r1-it"
    world.backend.revert(undo)
    assert world.backend.verify(undo)
    assert world.marked() == []
    assert world.backend.scan("") == []


def test_a_scan_of_one_namespace_asks_for_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.inject("pod_scale")
    monkeypatch.setenv("KUBECONFIG", world.config)
    world.api.calls.clear()
    (undo,) = world.backend.scan("kubernetes://fake?namespace=shop")
    assert undo["target"] == "deployment web in shop"
    assert all("/namespaces/shop/" in path for _, path in world.api.calls)
    assert world.backend.scan("kubernetes://fake?namespace=bank") == []


def test_a_scan_where_there_is_no_cluster(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody need have one; but one that is there and cannot be looked at is told."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert world.backend.scan("") == []
    assert world.backend.scan("redis://127.0.0.1") == []
    with pytest.raises(BackendError, match="no cluster is known"):
        world.backend.scan("kubernetes://")
    monkeypatch.setenv("KUBECONFIG", world.config)
    world.api.trouble = lambda method, path, query: refusal(403, "pods is forbidden")
    with pytest.raises(BackendError, match="pods is forbidden"):
        world.backend.scan("")


@pytest.mark.parametrize("note", [None, "{", "[]", "{}", '{"kind":"pod"}'])
def test_a_label_without_what_was_before(
    world: World, note: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = world.api.objects["deployments", "shop", "web"]["metadata"]
    about["labels"] = {"chaos-locust/mark": "chaos-r0-it"}
    about["annotations"] = {} if note is None else {"chaos-locust/undo": note}
    monkeypatch.setenv("KUBECONFIG", world.config)
    (undo,) = world.backend.scan("")
    assert world.backend.verify(undo) is False
    with pytest.raises(BackendError, match=r"deployment web has our label .* by hand"):
        world.backend.revert(undo)


def test_a_note_that_was_copied_from_another_object_is_not_believed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.inject("pod_scale")
    copy = json.loads(json.dumps(world.api.objects["deployments", "shop", "web"]))
    copy["metadata"] |= {"name": "copy", "uid": "another"}
    world.api.add("deployments", copy)
    monkeypatch.setenv("KUBECONFIG", world.config)
    lost = [undo for undo in world.backend.scan("") if undo["lost"]]
    assert [undo["target"] for undo in lost] == ["deployment copy in shop"]


def test_what_somebody_else_has_changed_meanwhile_stays(world: World) -> None:
    undo = world.inject("pod_scale")
    spec = world.api.objects["deployments", "shop", "web"]["spec"]
    spec["replicas"] = 7
    world.backend.revert(undo)
    assert spec["replicas"] == 7
    assert world.backend.verify(undo)
    assert world.marked() == []


def test_an_object_of_the_same_name_that_is_another_stays(world: World) -> None:
    undo = world.inject("pod_scale")
    new = workload(replicas=1)
    new["metadata"]["uid"] = "new"
    world.api.add("deployments", new)
    world.backend.revert(undo)
    assert world.backend.verify(undo)
    assert new["spec"]["replicas"] == 1


def test_what_another_run_has_changed_is_neither_changed_nor_undone(world: World) -> None:
    first = world.inject("pod_scale", run_id="r1")
    fault, second = world.prepare("rollout_image", run_id="r2")
    with pytest.raises(BackendError, match="deployment web is changed by chaos-r1-it already"):
        world.backend.inject(fault, second)
    world.backend.revert(second)
    assert world.backend.verify(second)
    assert world.marked() == ["web"]
    assert world.api.objects["deployments", "shop", "web"]["spec"]["replicas"] == 1
    world.backend.revert(first)
    assert world.marked() == []


def test_undone_though_it_was_never_injected(world: World) -> None:
    was = json.loads(json.dumps(sorted(world.api.objects.items())))
    for kind, (_, _, target) in LASTING.items():
        _, undo = world.prepare(kind, target)
        world.backend.revert(undo)
        assert world.backend.verify(undo)
    assert json.loads(json.dumps(sorted(world.api.objects.items()))) == was


def test_a_killed_injection_has_left_the_note_first(world: World) -> None:
    """Whatever of it was done, what was before is known from the object itself."""
    fault, undo = world.prepare("pod_scale")
    patches = []

    def trouble(method: str, path: str, query: Any) -> Answer | None:
        patches.append(path) if method == "PATCH" else None
        return Answer(0) if len(patches) == 2 else None

    world.api.trouble = trouble
    with pytest.raises(BackendError, match="does not answer"):
        world.backend.inject(fault, undo)
    world.api.trouble = lambda method, path, query: None
    assert world.marked() == ["web"]
    world.backend.revert(undo)
    assert world.backend.verify(undo)
    assert world.marked() == []


@pytest.mark.parametrize("status", [401, 403, 500])
def test_what_cannot_be_told_is_not_clean(world: World, status: int) -> None:
    undo = world.inject("pod_scale")
    world.api.trouble = lambda method, path, query: refusal(status, "no")
    for act in (world.backend.revert, world.backend.verify):
        with pytest.raises(BackendError):
            act(undo)


def test_the_same_context_may_lead_elsewhere_by_then(world: World, tmp_path: Path) -> None:
    undo = world.inject("pod_scale")
    other = tmp_path / "other"
    other.mkdir()
    with served(FakeApi(), other) as config:
        Path(world.config).write_text(Path(config).read_text())
        late = KubernetesBackend(LinkWatch())
        for act in (late.revert, late.verify):
            with pytest.raises(BackendError, match="and the fault is at http"):
                act(undo)


def test_a_stateful_set_is_freed_of_the_pod_that_cannot_start(world: World) -> None:
    world.api.add("statefulsets", workload("db", 2))
    world.api.add("pods", pod("db-0", app="db"))
    undo = world.inject("rollout_image", {"namespace": "shop", "statefulset": "db"})
    stuck = pod("db-1", app="db", ready=False)
    stuck["spec"]["containers"][0]["image"] = "chaos-locust.invalid/no-such-image:1"
    world.api.add("pods", stuck)
    world.backend.revert(undo)
    assert "db-0" in world.names()
    assert "db-1" not in world.names()


# -- what happens at once ------------------------------------------------------------------------------------


def test_pods_are_deleted(world: World) -> None:
    undo = world.inject("pod_kill", count=2)
    assert len(world.names()) == 3
    assert not world.names() & set(drawn(undo))
    assert world.backend.verify(undo)
    assert world.backend.scan("redis://x") == []


def test_evictions_that_are_not_allowed_are_said(world: World) -> None:
    world.api.budget = 0
    assert world.problems("pod_evict") == [], "another pod may be allowed by then"
    with pytest.raises(BackendError, match=r"no pod may be evicted: web-.: .*disruption budget"):
        world.inject("pod_evict")
    world.api.budget = 1
    fault, undo = world.prepare("pod_evict", count=2)
    world.backend.inject(fault, undo)
    reading = world.backend.observe(fault, undo)
    assert world.backend.effect(fault, [reading], [reading]).mechanism is False
    assert "1 of 2 pods are gone" in world.backend.effect(fault, [reading], [reading]).detail


def test_an_eviction_that_breaks_off_fails(world: World) -> None:
    fault, undo = world.prepare("pod_evict")
    world.api.trouble = lambda method, path, query: refusal(403, "may not") if "eviction" in path else None
    with pytest.raises(BackendError, match="may not"):
        world.backend.inject(fault, undo)


def test_a_restart_is_that_of_kubectl(world: World) -> None:
    world.inject("rollout_restart")
    template = world.api.objects["deployments", "shop", "web"]["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert world.marked() == []


@pytest.mark.parametrize(("code", "wrong"), [(0, False), (None, False), (143, False), (1, True), (126, True)])
def test_a_signal_that_could_not_be_sent_fails(
    world: World, monkeypatch: pytest.MonkeyPatch, code: int | None, wrong: bool
) -> None:
    class Cluster:
        def run(self, *_: Any) -> tuple[int | None, str]:
            return code, "kill: not permitted"

    pods = [{"namespace": "shop", "name": "web-0", "container": "web", "uid": "u"}]
    if wrong:
        with pytest.raises(BackendError, match=f"shop/web-0/web ended with {code}: kill: not permitted"):
            kubernetes_acts.send(Cluster(), pods, "TERM")  # type: ignore[arg-type]
    else:
        kubernetes_acts.send(Cluster(), pods, "TERM")  # type: ignore[arg-type]


# -- a partition ---------------------------------------------------------------------------------------------


def test_a_partition_is_a_policy_that_ends_with_a_job(world: World) -> None:
    undo = world.inject("pod_partition")
    policy = world.api.objects["networkpolicies", "shop", "chaos-r1-it"]
    job = world.api.objects["jobs", "shop", "chaos-r1-it"]
    assert policy["spec"] == {
        "podSelector": {"matchLabels": {"app": "web"}},
        "policyTypes": ["Ingress", "Egress"],
    }
    (owner,) = policy["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Job", job["metadata"]["uid"])
    assert job["spec"]["activeDeadlineSeconds"] == 45
    assert job["spec"]["ttlSecondsAfterFinished"] == 0
    assert world.backend.verify(undo) is False
    for _ in range(2):
        world.backend.revert(undo)
        assert world.backend.verify(undo)
    assert world.marked() == []


def test_a_pod_looks_on_while_a_partition_comes_and_goes(world: World) -> None:
    plan = world.plan("pod_partition")
    undo = world.backend.open("r1", plan, plan.targets["web"])
    assert undo is not None
    world.backend.build(undo, plan.targets["web"])
    (job,) = [each for (kind, _, _), each in world.api.objects.items() if kind == "jobs"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert {each["name"]: each["value"] for each in container["env"]}["PORT"] == "8080"
    world.backend.revert(undo)
    assert world.backend.verify(undo)
    plan = world.plan("pod_kill")
    assert world.backend.open("r1", plan, plan.targets["web"]) is None


def test_what_the_pod_that_looks_on_has_written_is_read_once(world: World) -> None:
    fault, undo = world.prepare("pod_partition")
    looker = pod("looker", app="none")
    looker["metadata"]["labels"] = {"chaos-locust/mark": undo["probe"]}
    world.api.add("pods", looker)
    lines = ["2026-01-01T00:00:01Z connected", "2026-01-01T00:00:02Z cut off"]

    def trouble(method: str, path: str, query: Any) -> Answer | None:
        return Answer(200, "\n".join(lines).encode()) if path.endswith("/log") else None

    world.api.trouble = trouble
    assert world.backend.observe(fault, undo)["connects"] == [True, False]
    assert world.backend.observe(fault, undo)["connects"] == []
    lines += ["2026-01-01T00:00:03Z cut off", "2026-01-01T00:00:04Z sh: nc: not found"]
    assert world.backend.observe(fault, undo)["connects"] == [False]


# -- before the load -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind, cls in KINDS.items() if cls.family == "kubernetes"])
def test_preflight_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    was = json.loads(json.dumps(sorted(world.api.objects.items())))
    target = {"node": "node-1"} if kind.startswith("node") else None
    world.container(monkeypatch)
    if kind != "pod_signal":  # whose kill is none of a shell's
        assert world.problems(kind, target) == []
    assert json.loads(json.dumps(sorted(world.api.objects.items()))) == was


def test_every_right_that_is_missing_is_named_with_the_role(world: World) -> None:
    world.api.denied = {("delete", "pods"), ("list", "pods")}
    missing, printed = world.problems("pod_kill")
    assert missing == "targets.web.kubernetes: pod_kill may not delete pods, list pods in the namespace shop"
    role = yaml.safe_load(printed[printed.index("apiVersion") :])
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "shop")
    pods = [rule for rule in role["rules"] if rule["resources"] == ["pods"]]  # which are watched as well
    assert pods == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete", "get", "list", "watch"]}]
    assert not [path for _, path in world.api.calls if "/pods" in path], "nothing is tried"
    world.api.denied = {("patch", "nodes")}
    missing, printed = world.problems("node_cordon", {"node": "node-1"})
    assert missing.endswith("node_cordon may not patch nodes in the cluster")
    assert "kind: ClusterRole" in printed


def test_a_subresource_and_a_group_are_named_as_rules_have_them(world: World) -> None:
    world.api.denied = {("patch", "pods/resize"), ("create", "jobs")}
    assert world.problems("pod_cpu")[0].endswith("pod_cpu may not patch pods/resize in the namespace shop")
    assert "pod_partition may not create jobs.batch in" in world.problems("pod_partition")[0]


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("pod_scale", {"replicas": 3}, "deployment web has 3 replicas already"),
        ("pod_cpu", {"cpus": 0.3}, "is limited to 300m CPU; 0.3 is no less"),
        ("pod_kill", {"count": 6}, "6 ready pods of deployment web in shop are asked for"),
        (
            "pod_evict",
            {"count": "100%"},
            "and pod_evict would leave none; count: all allows it",
        ),
    ],
)
def test_what_would_have_no_effect_or_too_much(world: World, kind: str, parameters: Any, words: str) -> None:
    assert words in world.problems(kind, **parameters)[0]


@pytest.mark.parametrize(
    ("resources", "policy", "words"),
    [
        ({"requests": {"cpu": "20m"}}, [], "has no CPU limit, and Kubernetes takes none from a pod again"),
        (
            {"limits": {"cpu": "300m"}},
            [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}],
            "has a resizePolicy by which its container would be started again",
        ),
    ],
)
def test_a_limit_that_could_not_be_put_back(world: World, resources: Any, policy: Any, words: str) -> None:
    for number in range(5):
        one = pod(f"web-{number}")
        one["spec"]["containers"][0] |= {"resources": resources, "resizePolicy": policy}
        world.api.add("pods", one)
    assert words in world.problems("pod_cpu")[0]
    with pytest.raises(BackendError, match=words):
        world.prepare("pod_cpu")


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("pod_kill", {"deployment": "web"}),
        ("pod_cpu", {"selector": "app=web"}),
        ("rollout_image", {"deployment": "web"}),
    ],
)
def test_a_container_that_is_not_there(world: World, kind: str, target: Any) -> None:
    (told,) = world.problems(kind, {"namespace": "shop", "container": "wbe", **target})
    assert told.endswith("in shop has no container wbe; it has web")


def test_an_autoscaler_would_undo_it(world: World) -> None:
    about = {"name": "by-load", "namespace": "shop"}
    reference = {"kind": "Deployment", "name": "web"}
    world.api.add("horizontalpodautoscalers", {"metadata": about, "spec": {"scaleTargetRef": reference}})
    assert "is scaled by the autoscaler by-load, which would undo it" in world.problems("pod_scale")[0]
    reference["name"] = "other"
    assert world.problems("pod_scale") == []


def test_what_the_server_would_refuse_is_found_by_a_dry_run(world: World) -> None:
    words = "Pod QOS Class may not change as a result of resizing"
    world.api.trouble = lambda method, path, query: (
        refusal(422, words) if path.endswith("/resize") and query.get("dryRun") == "All" else None
    )
    (told,) = world.problems("pod_cpu")
    assert f"{words} (422)" in told


def test_the_cluster_is_away_while_a_run_goes_on(world: World) -> None:
    """The run goes on; what could not be seen is not known."""
    fault, undo = world.prepare("pod_kill")
    before = [world.backend.observe(fault, undo)]
    world.backend.inject(fault, undo)
    world.api.trouble = lambda method, path, query: Answer(0)
    during = [world.backend.observe(fault, undo)]
    assert during[0]["pods"] is None
    effect = world.backend.effect(fault, before, during)
    assert effect.mechanism is None
    assert "the cluster did not tell" in effect.detail
