"""Which probes are read of which targets, what reading them needs, and what is told where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaos_locust.backends.kubernetes.api import Kubernetes
from chaos_locust.backends.kubernetes.preflight import reading_problems
from chaos_locust.backends.kubernetes.rights import rights_of_plan, rights_to_read
from chaos_locust.errors import BackendError
from chaos_locust.plan.check import check_plan
from chaos_locust.plan.cluster import Cluster
from chaos_locust.plan.model import Plan
from chaos_locust.plan.probes import probes_of
from tests.servers.kubernetes_api import FakeApi, pod, refusal, served, workload

AUTOSCALER = ("autoscaling", "horizontalpodautoscalers")


def plan(*objectives: str, kill: bool = False, kubeconfig: str | None = None, **target: Any) -> Plan:
    where = {"namespace": "shop", **(target or {"deployment": "web"})}
    return Plan.from_json(
        {
            "name": "probes",
            "host": "http://web.shop",
            "kubernetes": {"namespaces": ["shop"]} | ({"kubeconfig": kubeconfig} if kubeconfig else {}),
            "targets": {"web": {"kubernetes": where}, "idle": {"kubernetes": where}},
            "requests": [{"path": "/"}],
            "load": [{"step": "base", "rate": "50/s", "for": "60s"}],
            "faults": [{"name": "kill", "kind": "pod_kill", "target": "web", "at": "30s"}] if kill else [],
            "objectives": list(objectives),
        }
    )


def test_of_what_a_fault_touches_and_an_objective_asks_the_lane_is_read() -> None:
    lane = ("ready_replicas", "desired_replicas", "restarts")
    assert probes_of(plan(kill=True)) == {"web": lane}
    asked = probes_of(plan("oom_killed(web) <= 0 during run"))
    assert asked == {"web": ("oom_killed", *lane)}
    assert probes_of(plan(kill=True, selector="app=web")) == {"web": ("ready_replicas", "restarts")}
    assert probes_of(plan()) == {}


def test_an_autoscaler_is_asked_of_workloads_only() -> None:
    (problem,) = check_plan(plan("hpa_desired(web) >= 2 during run", selector="app=web")).problems
    assert "hpa_desired needs a target that is a deployment or a statefulset" in str(problem)
    assert not check_plan(plan("hpa_desired(web) >= 2 during run")).problems


def test_only_who_asks_an_autoscaler_needs_the_right_to() -> None:
    for given, needed in ((plan(kill=True), False), (plan("hpa_current(web) >= 2 during run"), True)):
        target = given.targets["web"].kubernetes
        assert target is not None
        for rights in (rights_to_read(target, probes_of(given)["web"]), rights_of_plan(given, target)):
            assert (("watch", *AUTOSCALER) in rights) is needed
            assert ("watch", "", "pods") in rights


@pytest.mark.parametrize(("scaled", "told"), [("web", ""), ("other", "hpa_desired needs an autoscaler of")])
def test_an_autoscaler_that_is_not_there_is_told(tmp_path: Path, scaled: str, told: str) -> None:
    api = FakeApi()
    api.add("deployments", workload())
    api.add("pods", pod("a"))
    reference = {"kind": "Deployment", "name": scaled}
    about = {"name": "by-load", "namespace": "shop"}
    api.add("horizontalpodautoscalers", {"metadata": about, "spec": {"scaleTargetRef": reference}})
    with served(api, tmp_path) as config:
        problems = reading_problems(plan("hpa_desired(web) >= 2 during run", kubeconfig=config))
    assert [told in str(problem) for problem in problems] == [True] * bool(told)
    with served(api, tmp_path) as config:
        assert reading_problems(plan("ready_replicas(web) >= 2 during run", kubeconfig=config)) == []


@pytest.mark.parametrize(("status", "answers"), [(200, True), (403, True), (500, False), (0, False)])
def test_who_refuses_us_is_there_all_the_same(tmp_path: Path, status: int, answers: bool) -> None:
    api = FakeApi()
    api.trouble = lambda method, path, query: refusal(status, "so it is")
    with served(api, tmp_path) as config:
        cluster = Kubernetes(Cluster(kubeconfig=config))
        if answers:
            cluster.ping(5.0)
        else:
            with pytest.raises(BackendError):
                cluster.ping(5.0)
