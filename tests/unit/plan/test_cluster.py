"""What a plan says of a cluster: which namespaces, which part of it a target is, how many of them."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.errors import InvalidPlan
from chaos_locust.faults.kubernetes import how_many
from chaos_locust.plan.check import check_plan
from chaos_locust.plan.documents import parse_plan
from chaos_locust.plan.model import Plan
from chaos_locust.reports.checked import render_checked

WEB = {"namespace": "shop", "deployment": "web"}
KILL = {"name": "kill", "kind": "pod_kill", "target": "web", "at": "10s"}


def plan_of(target: Any = None, faults: Any = None, **cluster: Any) -> Plan:
    document = {
        "name": "p",
        "host": "http://127.0.0.1:1",
        "kubernetes": {"namespaces": ["shop"], **cluster},
        "targets": {"web": {"kubernetes": WEB if target is None else target}},
        "requests": [{"path": "/"}],
        "load": [{"step": "base", "rate": "10/s", "for": "60s"}],
        "warm_up": "2s",
        "baseline": "5s",
        "faults": faults or [KILL],
    }
    return parse_plan(document, {})


def problems(*arguments: Any, **cluster: Any) -> list[str]:
    try:
        return [str(problem) for problem in check_plan(plan_of(*arguments, **cluster)).problems]
    except InvalidPlan as error:
        return [str(problem) for problem in error.problems]


def test_a_target_reads_back_as_it_was() -> None:
    plan = plan_of({**WEB, "container": "app", "service": "web"}, nodes=True, context="prod")
    assert Plan.from_json(plan.to_json()) == plan
    assert problems() == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            {},
            "none is given; give one of deployment, statefulset or selector (with namespace), node or nodes",
        ),
        ({"namespace": "shop"}, "none is given"),
        ({**WEB, "selector": "a=b"}, "deployment and selector are given"),
        ({**WEB, "node": "n"}, "deployment and node are given"),
        ({"deployment": "web"}, "targets.web.kubernetes.namespace: is missing; say where the pods are"),
        ({"node": "n", "service": "web"}, "namespace: is missing; say where the service is"),
        ({"node": "n", "container": "web"}, "container: has no effect beside node"),
        (
            {**WEB, "deployment": "Web"},
            "'Web' is no name in Kubernetes; allowed: small letters, digits, - and .",
        ),
        (
            {**WEB, "namespace": "kube-system"},
            "'kube-system' belongs to Kubernetes itself, and is never touched",
        ),
        ({**WEB, "deploymnet": "web"}, "deploymnet"),
        ("web", "targets.web.kubernetes: 'web' is not a mapping"),
    ],
)
def test_a_target_that_cannot_be(target: Any, words: str) -> None:
    told = problems(target)
    assert any(words in line for line in told), told


def test_only_what_is_allowed_is_touched() -> None:
    (told,) = problems(namespaces=[])
    assert told.endswith("namespace: shop is not allowed; put it into kubernetes.namespaces to allow it")
    cordon = [{**KILL, "kind": "node_cordon", "for": "5s"}]
    (told,) = problems({"node": "n"}, cordon)
    assert "nodes are not allowed; give kubernetes: {nodes: true}" in told
    assert problems({"node": "n"}, cordon, nodes=True) == []
    assert any("belongs to Kubernetes itself" in line for line in problems(namespaces=["kube-public"]))


@pytest.mark.parametrize("count", [0, -1, "0", "0%", "101%", "some", True, 1.5, "1.5", None])
def test_no_number_of_pods(count: Any) -> None:
    (told,) = problems(None, [{**KILL, "count": count}])
    assert told.startswith("faults[0].count: ")


@pytest.mark.parametrize("count", [1, "2", "50%", "50 %", "all", "100%"])
def test_a_number_of_pods(count: Any) -> None:
    assert problems(None, [{**KILL, "count": count}]) == []


@pytest.mark.parametrize(
    ("many", "of", "found"),
    [("1", 3, 1), ("all", 3, 3), ("all", 0, 0), ("50%", 3, 2), ("34%", 3, 2), ("1%", 100, 1), ("30%", 10, 3)],
)
def test_how_many(many: str, of: int, found: int) -> None:
    assert how_many(many, of) == found


def test_more_than_there_are() -> None:
    with pytest.raises(ValueError, match="4 are asked for, and there are 3"):
        how_many("4", 3)


@pytest.mark.parametrize("grace", ["1.5s", "301s", "-1s", 3])
def test_no_grace(grace: Any) -> None:
    (told,) = problems(None, [{**KILL, "grace": grace}])
    assert told.startswith("faults[0].grace: ")


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ({"kind": "pod_scale", "replicas": 1}, {"kind": "rollout_image"}, "both change the same workload"),
        (
            {"kind": "pod_scale", "replicas": 1},
            {"kind": "pod_scale", "replicas": 2},
            "both change the same work",
        ),
        ({"kind": "pod_cpu", "cpus": 0.1}, {"kind": "pod_cpu", "cpus": 0.2}, "both are pod_cpu"),
        ({"kind": "pod_scale", "replicas": 1}, {"kind": "pod_cpu", "cpus": 0.1}, None),
        ({"kind": "pod_partition", "port": 80}, {"kind": "rollout_image"}, None),
    ],
)
def test_what_cannot_act_together(one: Any, other: Any, clash: str | None) -> None:
    common = {"target": "web", "at": "10s", "for": "5s"}
    told = problems(None, [{**common, "name": "a", **one}, {**common, "name": "b", **other}])
    assert (told == []) if clash is None else (clash in told[0])
    later = {**common, "at": "20s"}
    assert problems(None, [{**common, "name": "a", **one}, {**later, "name": "b", **other}]) == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (WEB, "web: deployment web in shop"),
        ({"namespace": "shop", "selector": "app=web"}, "web: pods with app=web in shop"),
        ({"nodes": "pool=a"}, "web: nodes with pool=a"),
    ],
)
def test_check_says_what_is_touched(target: Any, words: str) -> None:
    plan = plan_of(target, nodes=True)
    assert words in " ".join(render_checked(plan, check_plan(plan), width=300).split())
