"""The plans that we ship for a cluster, run in one, as short as they can be by their own variables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from chaos_locust.backends.registry import Backends
from tests.servers.kubernetes_rig import IMAGE, Rig, Space, namespace, until
from tests.servers.kubernetes_run import ended

PLANS = Path(__file__).parents[2] / "locustfiles" / "plans"
SERVICES = ("planning", "learning", "syncing")
FETCH = """#!/bin/sh
if text=$(timeout 2 wget -qO- http://{address}:80/); then
    printf 'HTTP/1.0 200 OK\\r\\n\\r\\n%s' "$text"
else
    printf 'HTTP/1.0 503 Service Unavailable\\r\\n\\r\\n'
fi
"""

Json = dict[str, Any]


@pytest.fixture
def own(api: Any) -> Iterator[Space]:
    with namespace(api) as space:
        yield space


def address(space: Space, name: str) -> str:
    return str(space.ask("GET", f"/api/v1/{{ns}}/services/{name}")["spec"]["clusterIP"])


def gateway(space: Space) -> str:
    """The URL of a service that asks the three others: /cgi-bin/NAME."""
    scripts = {name: FETCH.format(address=address(space, name)) for name in SERVICES}
    space.ask("POST", "/api/v1/{ns}/configmaps", {"metadata": {"name": "gateway"}, "data": scripts})
    volume = {"name": "scripts", "configMap": {"name": "gateway", "defaultMode": 0o755}}
    container = {
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["httpd", "-f", "-p", "8080", "-h", "/srv"],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "volumeMounts": [{"name": "scripts", "mountPath": "/srv/cgi-bin"}],
    }
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container], "volumes": [volume]}
    template = {"metadata": {"labels": {"app": "gateway"}}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "gateway"}}, "template": template}
    space.ask("POST", "/apis/apps/v1/{ns}/deployments", {"metadata": {"name": "gateway"}, "spec": spec})
    until(lambda: space.is_whole("gateway", replicas=1), "the gateway is ready")
    return space.service("gateway")


def test_three_services_lose_their_pods_in_turn(
    own: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, times and limits are those of the variables, and each has its own figures. How soon a service is
    reached again is the cluster's affair: on a busy machine its network is late."""
    for name in SERVICES:
        own.apply("deployment", name, 1, {"requests": {"cpu": "20m"}})
        own.service(name)
    variables = {"HOST": gateway(own), "NAMESPACE": own.name, "RATE": "15/s", "MAX_WAIT": "25s"}
    variables |= {"TEST_DURATION": "155s", "SECOND_AT": "63s", "THIRD_AT": "108s"}
    for service, name in zip(("ORCHESTRATION", "AUTOML", "HYPERSYNC"), SERVICES, strict=True):
        variables |= {service: name, f"{service}_PATH": f"/cgi-bin/{name}"}
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    pods = {name: own.pods(name)[0]["metadata"]["uid"] for name in SERVICES}
    done = ended(tmp_path, "run", str(PLANS / "kubernetes-pod-kill.yaml"))
    done.needs_time()
    assert done.code in (0, 3, 4), done.told
    killed = {fault["name"]: fault for fault in done.verdict["faults"]}
    assert [round(fault["due_s"]) for fault in killed.values()] == [18, 63, 108]
    for service, name in zip(("orchestration", "automl", "hypersync"), SERVICES, strict=True):
        fault = killed[f"kill-{service}"]
        assert own.pods(name)[0]["metadata"]["uid"] != pods[name]
        assert fault["ready_again_s"] > 0
        assert done.outcome(f"the effect of kill-{service} was seen") == "UPHELD"
        assert fault["recovery"] is not None
        recovery = done.finding(f"recovery < 25s after kill-{service} starts")
        if recovery["outcome"] == "UPHELD":
            assert fault["recovery"][1] < 25
        outage = done.finding(f'outage of "GET /cgi-bin/{name}" < 10s during kill-{service}')
        assert outage["value"] > 0, "its own downtime"
        assert outage["outcome"] == ("UPHELD" if outage["value"] < 10 else "DEVIATED")
    assert done.verdict["duration_s"] >= 155


# -- by Chaos Mesh -------------------------------------------------------------------------------------------

OF_THE_GUIDE = """
apiVersion: chaos-mesh.org/v1alpha1
kind: PodChaos
metadata:
  name: virtengine-pod-kill
spec:
  action: pod-kill
  mode: one
  selector:
    namespaces:
      - {namespace}
    labelSelectors:
      app: web
  scheduler:
    cron: '{cron}'
"""


@pytest.fixture
def mesh(own: Space) -> Space:
    """A namespace with `web`, where Chaos Mesh is."""
    try:
        own.ask("GET", "/apis/chaos-mesh.org/v1alpha1")
    except ApiException:
        pytest.skip("needs Chaos Mesh: the cluster does not know chaos-mesh.org")
    own.apply("deployment", "web", 3, {"requests": {"cpu": "20m"}})
    return own


def test_a_random_pod_goes_and_what_chaos_mesh_tells_is_in_the_report(
    mesh: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"HOST": mesh.service(), "NAMESPACE": mesh.name, "RATE": "30/s", "NODE": "web", "APP": "web"}
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    before = {pod["metadata"]["uid"] for pod in mesh.pods()}
    done = ended(tmp_path, "run", str(PLANS / "kubernetes-random-pod.yaml"))
    done.needs_time()
    assert len(before - {pod["metadata"]["uid"] for pod in mesh.pods()}) == 1
    (fault,) = done.verdict["faults"]
    assert "all 1 records are Injected (at 20" in fault["effect"], fault
    assert "records are Injected" in done.report
    assert done.outcome("the effect of random-pod was seen") == "UPHELD"
    for text in ("missing_replicas(node) <= 0 during scheduled-again", "oom_killed(node) <= 0 during run"):
        assert done.outcome(text) == "UPHELD"
    assert mesh.ask("GET", "/apis/chaos-mesh.org/v1alpha1/{ns}/podchaos")["items"] == []


def test_the_experiment_of_the_guide_is_taken_as_it_is(mesh: Space, tmp_path: Path) -> None:
    """Made a Schedule, which has to be due while it is there."""
    mesh.service()
    file = tmp_path / "pod-kill.yaml"
    for cron, told in (("@every 10s", []), ("@every 6h", ["it would do nothing"])):
        file.write_text(OF_THE_GUIDE.format(namespace=mesh.name, cron=cron))
        rig = Rig(mesh, "chaos_mesh", file=str(file), image=IMAGE)
        rig.backend = Backends().named("chaos_mesh")
        assert any("it is made a Schedule of PodChaos" in note for note in rig.fault.warnings())
        problems = rig.problems()
        assert [text in problem for text, problem in zip(told, problems, strict=True)] == [True] * len(told)
