"""What was asked for of pods, autoscalers and memory, in whole runs on a real cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos_locust.backends.kubernetes.api import Kubernetes
from chaos_locust.experiment_result import ExperimentResult
from chaos_locust.experiments import ChaosExperiment
from chaos_locust.plan.cluster import Cluster
from tests.servers.kubernetes_rig import IMAGE, Rig, Space, namespace, until
from tests.servers.kubernetes_run import COMMAND, ended, environment, run

LOAD = "30/s"
SLOW_S = 90
SERVE = (
    "sleep $(cat /slow/seconds); mkdir /tmp/w; hostname >/tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w"
)
HUNGRY = "httpd -p 8080 -h /www; until [ -f /tmp/eat ]; do sleep 0.2; done; exec tail /dev/zero"

Json = dict[str, Any]


@pytest.fixture
def own(api: Any) -> Iterator[Space]:
    with namespace(api) as space:
        yield space


def deploy(space: Space, command: str, replicas: int, memory: str = "64Mi") -> None:
    """`web`, whose pods start as slowly as the config map `slow` says at that time."""
    space.ask("POST", "/api/v1/{ns}/configmaps", {"metadata": {"name": "slow"}, "data": {"seconds": "0"}})
    container = {
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", command],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "resources": {"limits": {"memory": memory}, "requests": {"cpu": "20m"}},
        "volumeMounts": [{"name": "slow", "mountPath": "/slow"}],
    }
    volumes = [{"name": "slow", "configMap": {"name": "slow"}}]
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container], "volumes": volumes}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    space.ask("POST", "/apis/apps/v1/{ns}/deployments", {"metadata": {"name": "web"}, "spec": spec})
    until(lambda: space.is_whole(replicas=replicas), "web is ready")


def start_slowly(space: Space) -> None:
    data = {"data": {"seconds": str(SLOW_S)}}
    space.ask("PATCH", "/api/v1/{ns}/configmaps/slow", data)


# -- the autoscaler, and pods that are scheduled again ---------------------------------------------------


def autoscale(space: Space, least: int) -> None:
    """No metrics are there: what it wants is what it may not go below."""
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 90}}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": least,
        "maxReplicas": 5,
        "metrics": [{"type": "Resource", "resource": cpu}],
    }
    path = "/apis/autoscaling/v2/{ns}/horizontalpodautoscalers"
    space.ask("POST", path, {"metadata": {"name": "by-load"}, "spec": spec})
    until(lambda: space.ask("GET", f"{path}/by-load")["status"].get("desiredReplicas") == least, "it wants 3")


@pytest.mark.parametrize("slow", [False, True])
def test_pods_are_as_many_again_as_the_autoscaler_wants(own: Space, tmp_path: Path, slow: bool) -> None:
    """30 s after one of them was killed; where they start too slowly that is what fails, and nothing else."""
    deploy(own, SERVE, 2)
    autoscale(own, 3)
    until(lambda: own.is_whole(replicas=3), "it has scaled")
    host = own.service()
    if slow:
        start_slowly(own)
    scheduled = "missing_replicas(web) <= 0 during scheduled-again"
    plan = environment(
        own,
        host,
        load=[
            {"step": "base", "rate": LOAD, "for": "42s"},
            {"step": "scheduled-again", "rate": LOAD, "for": "12s"},
        ],
        faults=[{"name": "kill", "kind": "pod_kill", "target": "web", "at": "12s"}],
        objectives=["availability > 95% during run", scheduled, "hpa_desired(web) >= 3 during run"],
    )
    done = run(own, tmp_path, plan)
    assert done.code == (3 if slow else 0), done.told
    assert done.outcome(scheduled) == ("DEVIATED" if slow else "UPHELD")
    assert done.outcome("hpa_desired(web) >= 3 during run") == "UPHELD"
    assert done.outcome("availability > 95% during run") == "UPHELD"
    for told in ("autoscaler wants", "desired", "Pods of web"):
        assert told in done.report
    (fault,) = done.verdict["faults"]
    assert (fault["ready_again_s"] == "Infinity") is slow


def test_an_autoscaler_that_is_not_there_is_asked_for_in_vain(own: Space, tmp_path: Path) -> None:
    own.apply("deployment", "web", 2)
    rig = Rig(own, "pod_kill")
    document = rig.document | {"objectives": ["hpa_desired(web) >= 2 during run"]}
    document |= {"requests": [{"path": "/"}], "load": [{"step": "base", "rate": "10/s", "for": "30s"}]}
    document |= {"host": own.service(), "baseline": "5s", "warm_up": "1s"}
    document["faults"][0]["at"] = "10s"
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [*COMMAND, "check", str(tmp_path / "plan.yaml")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert f"hpa_desired needs an autoscaler of deployment web in {own.name}" in done.stderr


# -- experiments by name ---------------------------------------------------------------------------------


def staging(space: Space, host: str, load_s: int = 40) -> Json:
    load = [{"step": "base", "rate": LOAD, "for": f"{load_s}s"}]
    return environment(space, host, load=load, objectives=["error_rate < 50% during run"])


def limits_crossed(result: ExperimentResult) -> list[str]:
    """Of those for staging: recovery, errors and latency."""
    limits = {"recovery_time_ms": 120_000, "error_rate_during_failure": 0.5, "latency_p99_ms": 500}
    found = {name: getattr(result, name) for name in limits}
    return [name for name, value in found.items() if value is None or value >= limits[name]]


def test_an_experiment_kills_as_many_pods_as_it_is_told(
    own: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    own.apply("deployment", "web", 4, {"requests": {"cpu": "20m"}})
    host = own.service()
    before = {pod["metadata"]["uid"] for pod in own.pods()}
    drawn = {drawn_by(own, seed) for seed in range(8)}
    assert all(len(names) == 2 for names in drawn)
    assert len(drawn) > 1, "the seed chooses"
    result = ChaosExperiment.pod_kill(staging(own, host), "web", 2).run(tmp_path / "results")
    until(lambda: own.is_whole(replicas=4), "all pods are ready again")
    after = {pod["metadata"]["uid"] for pod in own.pods()}
    assert len(before - after) == 2
    assert limits_crossed(result) == [], result


def drawn_by(space: Space, seed: int) -> frozenset[str]:
    rig = Rig(space, "pod_kill", count=2)
    plan = rig.plan.model_copy(update={"seed": seed})
    undo = rig.backend.prepare("r", plan, rig.fault, rig.target)
    return frozenset(pod["name"] for pod in undo["victims"])


def test_an_experiment_that_crosses_the_limits_fails(
    own: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    deploy(own, SERVE, 2)
    host = own.service()
    start_slowly(own)
    result = ChaosExperiment.pod_kill(staging(own, host), "web", "all").run(tmp_path / "results")
    assert {"recovery_time_ms", "error_rate_during_failure"} <= set(limits_crossed(result)), result
    assert result.exit_code == 3


def test_an_experiment_by_the_command(own: Space, tmp_path: Path) -> None:
    own.apply("deployment", "web", 3, {"requests": {"cpu": "20m"}})
    file = tmp_path / "replica.yaml"
    file.write_text(yaml.safe_dump(staging(own, own.service(), 30)))
    before = {pod["metadata"]["uid"] for pod in own.pods()}
    done = ended(tmp_path, "experiment", "pod-kill", "--cluster", str(file))
    done.needs_time()
    assert done.code == 0, done.told
    assert len(before - {pod["metadata"]["uid"] for pod in own.pods()}) == 1


# -- memory ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("killed", [False, True])
def test_who_is_killed_for_want_of_memory_is_told(own: Space, tmp_path: Path, killed: bool) -> None:
    """One pod eats more memory than it may have, or as much as it may."""
    deploy(own, HUNGRY, 2, memory="48Mi")
    plan = environment(
        own,
        own.service(),
        load=[{"step": "base", "rate": LOAD, "for": "25s"}],
        objectives=["oom_killed(web) <= 0 during run", "restarts(web) <= 0 during run"],
    )
    victim = own.pods()[0]["metadata"]["name"]
    command = "touch /tmp/eat" if killed else "head -c 20m /dev/zero | tail -c 20m >/dev/null"

    def eat() -> None:
        code, told = Kubernetes(Cluster()).run(own.name, victim, "web", ["sh", "-c", command])
        assert code == 0, told

    done = run(own, tmp_path, plan, eat)
    assert done.code == (3 if killed else 0), done.told
    for probe in ("oom_killed", "restarts"):
        assert done.outcome(f"{probe}(web) <= 0 during run") == ("DEVIATED" if killed else "UPHELD")
    if killed:
        assert "out of memory" in done.report
