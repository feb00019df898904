"""An account with too few rights: what is missing is named, and the printed Role, applied, is enough."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos_locust.faults.kubernetes import KubernetesFault, NodeCordon
from chaos_locust.faults.registry import BUILT_IN
from tests.servers.kubernetes_rig import Rig, Space, connected, until

COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
RBAC = "/apis/rbac.authorization.k8s.io/v1"
FAULTS = [cls for cls in BUILT_IN if issubclass(cls, KubernetesFault)]
KINDS = [cls.kind for cls in FAULTS if not issubclass(cls, NodeCordon)]


@pytest.fixture
def kubeconfig(space: Space, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Of a service account that may nothing yet."""
    name = f"user-{abs(hash(request.node.name)) % 10**8}"
    space.ask("POST", "/api/v1/{ns}/serviceaccounts", {"metadata": {"name": name}})
    made = space.ask("POST", f"/api/v1/{{ns}}/serviceaccounts/{name}/token", {"spec": {}})
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    config["users"] = [{"name": name, "user": {"token": made["status"]["token"]}}]
    for context in config["contexts"]:
        context["context"]["user"] = name
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield path
    space.ask("DELETE", f"/api/v1/{{ns}}/serviceaccounts/{name}")


def account(kubeconfig: Path) -> str:
    return str(yaml.safe_load(kubeconfig.read_text())["users"][0]["name"])


def grant(space: Space, kubeconfig: Path, role: dict[str, Any]) -> Callable[[], None]:
    """Returns what takes it away."""
    name, kind = role["metadata"]["name"], role["kind"]
    cluster_wide = kind == "ClusterRole"
    root = RBAC if cluster_wide else f"{RBAC}/{{ns}}"
    if cluster_wide:  # the name belongs to all namespaces
        name = role["metadata"]["name"] = f"{name}-{space.name}"
    parts = [f"{kind.lower()}s", f"{kind.lower()}bindings"]
    subject = {"kind": "ServiceAccount", "name": account(kubeconfig), "namespace": space.name}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
    bound = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    for part, body in zip(parts, (role, bound), strict=True):
        space.ask("POST", f"{root}/{part}", body)

    def take() -> None:
        for part in parts:
            space.ask("DELETE", f"{root}/{part}/{name}")

    return take


def printed_role(told: str) -> dict[str, Any]:
    role: dict[str, Any] = yaml.safe_load(told[told.index("apiVersion: rbac") :])  # it comes last
    return role


@pytest.mark.parametrize("kind", KINDS)
def test_the_printed_role_is_enough(
    space: Space, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Also to look at the fault, to undo it and to see that it is undone."""
    until(space.is_whole, "all pods are ready")
    rig = Rig(space, kind, kubernetes={"kubeconfig": str(kubeconfig), "nodes": False})
    missing, role = rig.problems()
    assert missing.startswith(f"targets.web.kubernetes: {kind} may not ")
    assert len(missing.splitlines()) == 1
    take = grant(space, kubeconfig, printed_role(role))
    try:
        assert rig.problems() == []
        rig.open()
        rig.look_before(connected if kind == "pod_partition" else lambda found: len(found) > 1)
        rig.inject()
        until(rig.acts, "its effect is seen")
        rig.revert()
        rig.close()
    finally:
        if not rig.fault.instant:
            Rig(space, kind).backend.revert(rig.undo | {"cluster": as_admin(rig.undo)})
        take()
    until(lambda: space.marked() == [], "nothing is left")


def as_admin(undo: dict[str, Any]) -> dict[str, str]:
    return {"server": undo["cluster"]["server"]}


def test_a_role_that_lacks_one_verb(space: Space, kubeconfig: Path) -> None:
    until(space.is_whole, "all pods are ready")
    rig = Rig(space, "pod_kill", kubernetes={"kubeconfig": str(kubeconfig), "nodes": False})
    role = printed_role(rig.problems()[1])
    (rule,) = [each for each in role["rules"] if each["resources"] == ["pods"]]
    rule["verbs"].remove("delete")
    take = grant(space, kubeconfig, role)
    try:
        missing, printed = rig.problems()
    finally:
        take()
    assert missing.endswith(f"pod_kill may not delete pods in the namespace {space.name}")
    assert printed_role(printed)["rules"] != role["rules"], "it has the verb, besides those that were there"


def test_one_role_for_all_that_a_plan_does(space: Space, kubeconfig: Path, tmp_path: Path) -> None:
    """Applied once it makes `check` pass; and nothing that was allowed before is taken away by it."""
    until(space.is_whole, "all pods are ready")
    rig = Rig(space, "pod_kill", kubernetes={"kubeconfig": str(kubeconfig), "nodes": False})
    scale = {"kind": "pod_scale", "target": "web", "at": "8s", "for": "5s", "name": "scale", "replicas": 1}
    document = rig.document | {
        "host": "http://127.0.0.1:1",
        "requests": [{"path": "/"}],
        "load": [{"step": "base", "rate": "10/s", "for": "30s"}],
        "objectives": ["error_rate < 50% during run", "restarts(web) < 1 during run"],
        "warm_up": "2s",
        "baseline": "5s",
    }
    document["faults"] = [document["faults"][0] | {"at": "15s"}, scale]
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(document))

    def check() -> tuple[int, str]:
        environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
        done = subprocess.run(
            [*COMMAND, "check", str(plan)], env=environ, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    code, told = check()
    assert code == 2
    for words in ("pod_kill may not ", "pod_scale may not ", "reading restarts may not "):
        assert words in told
    assert told.count("apiVersion: rbac") == 1
    take = grant(space, kubeconfig, printed_role(told))
    try:
        code, told = check()
    finally:
        take()
    assert code == 2, "nothing listens at the host"
    assert [line for line in told.splitlines() if "host:" not in line] == [], told


def test_nodes_need_a_cluster_role(space: Space, kubeconfig: Path) -> None:
    node = space.pods()[0]["spec"]["nodeName"]
    rig = Rig(space, "node_cordon", {"node": node}, kubernetes={"kubeconfig": str(kubeconfig)})
    missing, role = rig.problems()
    assert missing.endswith("node_cordon may not get nodes, list nodes, patch nodes in the cluster")
    take = grant(space, kubeconfig, printed_role(role))
    try:
        assert rig.problems() == []
    finally:
        take()


def test_a_scan_says_what_it_may_not_look_at(
    space: Space, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only one namespace may be read, that one is looked at when it is named."""
    until(space.is_whole, "all pods are ready")
    fault = Rig(space, "pod_scale", run_id="scanned")
    fault.inject()
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    kinds = {"": ["pods", "configmaps"], "apps": ["deployments", "statefulsets"], "batch": ["jobs"]}
    kinds |= {"networking.k8s.io": ["networkpolicies"], "chaos-mesh.org": ["*"]}
    rules = [{"apiGroups": [group], "resources": each, "verbs": ["list"]} for group, each in kinds.items()]
    changes = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"]}
    role = {"kind": "Role", "metadata": {"name": "scan"}, "rules": [*rules, changes]}
    take = grant(space, kubeconfig, role)

    def cleanup(*arguments: str) -> tuple[int, str]:
        environ = {**os.environ, "XDG_STATE_HOME": str(kubeconfig.parent / "state")}
        done = subprocess.run(
            [*COMMAND, "cleanup", *arguments], env=environ, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    try:
        code, told = cleanup("--at", "kubernetes://")
        assert code == 5
        assert "pods is forbidden" in told
        code, told = cleanup("--at", f"kubernetes://?namespace={space.name}")
        assert code == 0, told
        assert f"undone: the fault of deployment web in {space.name}" in told
    finally:
        take()
    assert space.workload()["spec"]["replicas"] == 3
    assert space.marked() == []
