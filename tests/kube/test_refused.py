"""What a fault in a cluster cannot do is said before the load starts, in one line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos_locust.errors import BackendError
from tests.certificates import Authority
from tests.servers.kubernetes_rig import IMAGE, Rig, Space, until

COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")


@pytest.fixture(autouse=True)
def whole(space: Space) -> None:
    until(space.is_whole, "all pods are ready")


def of(space: Space, **target: Any) -> dict[str, Any]:
    return {"namespace": space.name, **target}


@pytest.mark.parametrize(
    ("kind", "target", "parameters", "words"),
    [
        ("pod_kill", {"deployment": "wbe"}, {}, "there is no deployment wbe in the namespace"),
        ("pod_kill", {"statefulset": "web"}, {}, "there is no statefulset web in the namespace"),
        ("pod_kill", {"selector": "app=wbe"}, {}, "pods with app=wbe in .*: there are no such pods"),
        ("pod_kill", {"selector": "app==="}, {}, "Kubernetes refuses GET .*(400)"),
        ("pod_kill", {"deployment": "web", "service": "wbe"}, {}, "there is no service wbe in"),
        ("pod_kill", {"deployment": "web"}, {"count": 4}, "4 ready pods of deployment web in .* there are 3"),
        ("pod_kill", {"deployment": "web"}, {"count": 3}, "has 3 ready pods, and pod_kill would leave none"),
        ("pod_evict", {"deployment": "web"}, {"count": "100%"}, "would leave none; count: all allows it"),
        ("pod_signal", {"deployment": "web", "container": "wbe"}, {}, "no container wbe; it has web"),
        ("pod_scale", {"selector": "app=web"}, {}, "pod_scale needs a deployment or a statefulset"),
        ("pod_scale", {"deployment": "web"}, {"replicas": 3}, "deployment web has 3 replicas already"),
        ("rollout_image", {"deployment": "web", "container": "wbe"}, {}, "no container wbe; it has web"),
        ("pod_cpu", {"deployment": "web"}, {"cpus": 0.3}, "is limited to 300m CPU; 0.3 is no less"),
        ("pod_partition", {"selector": "app in (web)"}, {}, "a policy cannot select by app in"),
        ("pod_kill", {"node": "node-1"}, {}, "pod_kill needs pods, not node node-1"),
        ("node_cordon", {"deployment": "web"}, {}, "node_cordon needs a node or nodes, not deployment web"),
        ("node_cordon", {"node": "no-such-node"}, {}, "there is no node no-such-node"),
        ("node_cordon", {"nodes": "no=such"}, {}, "1 nodes with no=such that are ready .* there are 0"),
    ],
)
def test_one_line(space: Space, kind: str, target: Any, parameters: Any, words: str) -> None:
    (told,) = Rig(space, kind, of(space, **target), **parameters).problems()
    assert re.search(words, told), told
    assert len(told.splitlines()) == 1
    assert space.marked() == []


def test_a_pod_without_a_cpu_limit_keeps_it(space: Space) -> None:
    """Kubernetes takes no limit from a running pod again: it could not be put back."""
    space.apply("deployment", "free", 1, {"requests": {"cpu": "20m"}})
    (told,) = Rig(space, "pod_cpu", of(space, deployment="free")).problems()
    assert "has no CPU limit" in told


def test_the_last_ready_pod_is_not_killed_beside_others_that_are_not(space: Space) -> None:
    space.apply("deployment", "lame", 1)
    image = {"containers": [{"name": "web", "image": "chaos-locust.invalid/none:1"}]}
    path = "/apis/apps/v1/{ns}/deployments/lame"
    space.ask("PATCH", path, {"spec": {"template": {"spec": image}}})
    until(lambda: len(space.pods("lame")) == 2, "one pod is not ready")
    (told,) = Rig(space, "pod_kill", of(space, deployment="lame")).problems()
    assert "has 1 ready pod, and pod_kill would leave none" in told
    space.ask("DELETE", path)


def test_an_eviction_that_a_budget_does_not_allow_is_said(space: Space) -> None:
    spec = {"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}}
    path = "/apis/policy/v1/{ns}/poddisruptionbudgets"
    space.ask("POST", path, {"metadata": {"name": "all"}, "spec": spec})
    try:
        until(lambda: space.ask("GET", f"{path}/all")["status"].get("currentHealthy") == 3, "it is counted")
        rig = Rig(space, "pod_evict")
        rig.look_before()
        with pytest.raises(BackendError, match=r"no pod may be evicted: .*disruption budget.*\(429\)"):
            rig.inject()
        spec["minAvailable"] = 2
        space.ask("PATCH", f"{path}/all", {"spec": {"minAvailable": 2}})
        until(
            lambda: space.ask("GET", f"{path}/all")["status"].get("disruptionsAllowed") == 1, "one is allowed"
        )
        two = Rig(space, "pod_evict", count=2)
        two.look_before()
        two.inject()
        effect = two.effect()
        assert effect.mechanism is False, "not what was asked for"
        assert "1 of 2 pods are gone; the rest was not allowed" in effect.detail
    finally:
        space.ask("DELETE", f"{path}/all")


def test_scaling_beside_an_autoscaler_is_refused(space: Space) -> None:
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 3,
        "maxReplicas": 4,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 90}},
            }
        ],
    }
    path = "/apis/autoscaling/v2/{ns}/horizontalpodautoscalers"
    space.ask("POST", path, {"metadata": {"name": "by-load"}, "spec": spec})
    try:
        (told,) = Rig(space, "pod_scale").problems()
        assert "deployment web is scaled by the autoscaler by-load, which would undo it" in told
    finally:
        space.ask("DELETE", f"{path}/by-load")


def test_a_drain_of_pods_that_are_not_allowed_is_refused(space: Space) -> None:
    node = space.pods()[0]["spec"]["nodeName"]
    rig = Rig(space, "node_drain", {"node": node}, kubernetes={"namespaces": []})
    (told,) = rig.problems()
    assert "a drain would evict pods of the namespace" in told
    few = Rig(space, "node_drain", {"node": node}, kubernetes={"namespaces": namespaces(space)}, most_pods=1)
    (told,) = few.problems()
    assert "and most_pods is 1" in told


def namespaces(space: Space) -> list[str]:
    """All but those of Kubernetes itself."""
    found = [each["metadata"]["name"] for each in space.ask("GET", "/api/v1/namespaces")["items"]]
    return [name for name in found if not name.startswith("kube-")]


# -- what is wrong with the way to the cluster: by the command, with exit code 2 -------------------------


def plan_of(space: Space, folder: Path, **more: Any) -> Path:
    document = Rig(space, "pod_kill").document | {
        "host": "http://127.0.0.1:1",
        "requests": [{"path": "/"}],
        "load": [{"step": "base", "rate": "10/s", "for": "30s"}],
        "objectives": ["error_rate < 50% during run"],
        "warm_up": "2s",
        "baseline": "5s",
    }
    document["faults"][0]["at"] = "10s"
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(document | more))
    return path


def told(*arguments: str, folder: Path, **environ: str) -> tuple[int, list[str]]:
    """(exit code, lines of errors that are not about the load's host)"""
    state = {"XDG_STATE_HOME": str(folder / "state")}
    done = subprocess.run(
        [*COMMAND, *arguments], env={**os.environ, **state, **environ}, cwd=folder,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    return done.returncode, [line for line in lines if "host:" not in line and "/INFO/" not in line]


@pytest.mark.parametrize("command", ["check", "run"])
def test_the_way_to_the_cluster(space: Space, tmp_path: Path, command: str) -> None:
    plan = plan_of(space, tmp_path)
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    (cluster,) = config["clusters"]
    elsewhere = {**cluster, "cluster": {**cluster["cluster"], "server": "https://127.0.0.1:1"}}
    wrong = {"name": config["users"][0]["name"], "user": {"token": "nobody"}}
    strange = {"server": cluster["cluster"]["server"]}
    strange["certificate-authority"] = Authority(tmp_path).certificate
    files = {
        "no.yaml": (None, "no cluster is known from .*no.yaml"),
        "empty.yaml": ({}, "no cluster is known from .*empty.yaml"),
        "text.yaml": ("a: b: c", "no cluster is known from .*text.yaml"),
        "closed.yaml": ({**config, "clusters": [elsewhere]}, "does not answer: connection refused"),
        "nobody.yaml": ({**config, "users": [wrong]}, "it does not know us .401.; the credentials"),
        "strange.yaml": (
            {**config, "clusters": [{**cluster, "cluster": strange}]},
            "its certificate, or ours, is not accepted",
        ),
    }
    for name, (content, words) in files.items():
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text)
        code, lines = told(command, str(plan), folder=tmp_path, KUBECONFIG=str(tmp_path / name))
        assert code == 2, (name, lines)
        assert len(lines) == 1, lines
        assert re.search(words, lines[0]), (name, lines)
    assert not (tmp_path / "results").exists()


def test_a_context_that_is_not_there(space: Space, tmp_path: Path) -> None:
    namespaces = {"namespaces": [space.name], "context": "nowhere"}
    code, lines = told("check", str(plan_of(space, tmp_path, kubernetes=namespaces)), folder=tmp_path)
    assert code == 2
    assert len(lines) == 1
    assert "nowhere" in lines[0]


def test_a_namespace_that_is_not_allowed(space: Space, tmp_path: Path) -> None:
    code, lines = told("check", str(plan_of(space, tmp_path, kubernetes={"namespaces": []})), folder=tmp_path)
    assert code == 2
    assert len(lines) == 1
    assert f"{space.name} is not allowed; put it into kubernetes.namespaces" in lines[0]


def test_check_says_what_it_touches(space: Space, tmp_path: Path) -> None:
    plan = plan_of(space, tmp_path)
    done = subprocess.run(
        [*COMMAND, "check", "--offline", str(plan)], capture_output=True, text=True, check=True
    )
    shown = " ".join(done.stdout.split())
    assert "web: deployment web in" in shown


def test_undone_only_in_the_cluster_where_it_was_done(space: Space) -> None:
    """The same context may lead elsewhere by then, where nothing of it is: that does not make it clean."""
    rig = Rig(space, "pod_scale")
    rig.inject()
    elsewhere = rig.undo | {"cluster": rig.undo["cluster"] | {"server": "https://other:6443"}}
    for act in (rig.backend.revert, rig.backend.verify):
        with pytest.raises(BackendError, match="and the fault is at https://other:6443"):
            act(elsewhere)
    rig.revert()


def test_a_partition_needs_a_server_that_takes_its_policy(space: Space) -> None:
    assert Rig(space, "pod_partition", image=IMAGE).problems() == []
    assert space.marked() == [], "it was asked for as a dry run"
