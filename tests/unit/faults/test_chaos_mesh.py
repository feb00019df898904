"""Experiments of Chaos Mesh: what is taken as it is, what is brought to version 2, what is refused before
there is a cluster; and the experiments that our own words stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.errors import InvalidPlan
from chaos_locust.faults.base import Fault
from chaos_locust.faults.chaos_mesh import ChaosMesh
from chaos_locust.faults.chaos_mesh_manifest import manifest_problems, translated
from chaos_locust.faults.chaos_mesh_words import Drawn
from chaos_locust.faults.registry import KINDS, parse_fault
from chaos_locust.plan.check import check_plan
from chaos_locust.plan.model import Plan

WEB = {"mode": "one", "selector": {"labelSelectors": {"app": "web"}}}
KILL = {"action": "pod-kill", **WEB}


def manifest(kind: str = "PodChaos", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": kind, "metadata": {"name": "mine"}, "spec": spec}


def schedule(when: str = "@every 10s", kind: str = "PodChaos", **spec: Any) -> dict[str, Any]:
    return manifest("Schedule", schedule=when, type=kind, **spec)


def fault(kind: str, **parameters: Any) -> Fault:
    return KINDS[kind](**{"name": "it", "target": "web", "at": "1s", "for": "10s", **parameters})


def refusals(kind: str, **parameters: Any) -> list[str]:
    with pytest.raises(InvalidPlan) as caught:
        fault(kind, **parameters)
    return [str(problem) for problem in caught.value.problems]


# -- as it is -----------------------------------------------------------------------------------------------

GOOD = [
    manifest(**KILL),
    manifest(
        action="pod-failure", duration="30s", mode="fixed", value="2", selector={"namespaces": ["shop"]}
    ),
    manifest(action="container-kill", containerNames=["web"], gracePeriod=0, **WEB),
    manifest("NetworkChaos", action="delay", delay={"latency": "10ms", "jitter": "1ms"}, **WEB),
    manifest("NetworkChaos", action="netem", loss={"loss": "25", "correlation": "25"}, **WEB),
    manifest("NetworkChaos", action="partition", direction="both", target={**WEB}, **WEB),
    manifest("NetworkChaos", action="bandwidth", bandwidth={"rate": "1mbps", "limit": 1, "buffer": 1}, **WEB),
    manifest("StressChaos", stressors={"cpu": {"workers": 1, "load": 100}}, duration="1m30s", **WEB),
    manifest("StressChaos", stressors={"memory": {"workers": 1, "size": "10GB"}}, **WEB),
    manifest("IOChaos", action="latency", volumePath="/data", delay="100ms", percent=50, **WEB),
    manifest("IOChaos", action="fault", volumePath="/data", errno=5, **WEB),
    manifest("TimeChaos", timeOffset="-10m100ns", clockIds=["CLOCK_REALTIME"], **WEB),
    manifest("DNSChaos", action="random", patterns=["google.com"], **WEB),
    manifest("HTTPChaos", target="Request", port=80, method="GET", path="/api", abort=True, **WEB),
    schedule(podChaos=KILL, historyLimit=5, concurrencyPolicy="Forbid"),
    schedule("*/5 * * * *", podChaos=KILL),
    schedule("TZ=UTC 30 0 1-5 * * MON", podChaos=KILL),
]


@pytest.mark.parametrize("good", GOOD, ids=lambda each: f"{each['kind']}-{each['spec'].get('action', '')}")
def test_what_chaos_mesh_takes_is_taken_as_it_is(good: dict[str, Any]) -> None:
    found = fault("chaos_mesh", manifest=good)
    assert isinstance(found, ChaosMesh)
    assert found.experiment == good
    assert parse_fault(json.loads(json.dumps(found.to_json())), "") == found


def test_a_file_is_read_once_and_kept_in_the_plan(tmp_path: Path) -> None:
    file = tmp_path / "kill.yaml"
    file.write_text("# mine\n---\n" + json.dumps(manifest(**KILL)))
    found = fault("chaos_mesh", file=str(file))
    file.unlink()
    again = parse_fault(json.loads(json.dumps(found.to_json())), "")
    assert isinstance(again, ChaosMesh)
    assert again.experiment == manifest(**KILL)
    assert again.acts == ("PodChaos", "pod-kill")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "is no YAML"),
        ("", "has 0 documents"),
        ("a: 1\n---\nb: 2\n", "has 2 documents"),
        ("just words", "is no experiment"),
        ("apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nspec: {since: 2024-01-01}\n", "is no JSON"),
        ("apiVersion: v1\nkind: Pod\n", "apiVersion: 'v1' is not known"),
    ],
)
def test_a_file_that_is_no_experiment(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "it.yaml"
    file.write_text(text)
    (problem,) = refusals("chaos_mesh", file=str(file))
    assert problem.startswith("file")
    assert told in problem


def test_a_file_or_a_manifest() -> None:
    assert "neither is given" in refusals("chaos_mesh")[0]
    assert "both are given" in refusals("chaos_mesh", file="x.yaml", manifest=manifest(**KILL))[0]
    assert "cannot be read: No such file" in refusals("chaos_mesh", file="/nowhere/x.yaml")[0]


@pytest.mark.parametrize(
    ("bad", "place", "told"),
    [
        (manifest(**KILL, duration="ten minutes"), "spec.duration", "'ten minutes' is no duration"),
        (manifest(**KILL, duration=30), "spec.duration", "'30' is no duration"),
        (manifest(**KILL, duration="5d"), "spec.duration", "'5d' is no duration"),
        (manifest("PodKaos", **KILL), "kind", "did you mean PodChaos"),
        (manifest("Workflow"), "kind", "'Workflow' is not known"),
        (manifest(action="pod-kill", mode="one"), "spec.selector", "is missing"),
        (manifest(**{**KILL, "mode": "fixed"}), "spec.value", "not allowed with mode: fixed"),
        (manifest(**{**KILL, "mode": "fixed-percent", "value": "101"}), "spec.value", "give 1 to 100"),
        (manifest(**KILL, remoteCluster="other"), "spec.remoteCluster", "is not allowed"),
        (manifest(action="container-kill", **WEB), "spec.containerNames", "is missing"),
        (manifest("StressChaos", **WEB), "spec.stressors", "neither cpu nor memory"),
        (manifest("StressChaos", stressngStressors="--cpu 1", **WEB), "spec.stressors", "neither cpu nor"),
        (
            manifest("StressChaos", stressors={"cpu": {"workers": 0}}, **WEB),
            "spec.stressors.cpu.workers",
            "'0' is not allowed",
        ),
        (manifest("NetworkChaos", action="delay", **WEB), "spec.delay", "is missing"),
        (manifest("NetworkChaos", action="netem", **WEB), "spec.action", "needs one of"),
        (
            manifest("NetworkChaos", action="delay", delay={"latency": "slow"}, **WEB),
            "spec.delay.latency",
            "'slow' is no duration",
        ),
        (
            manifest("NetworkChaos", action="loss", loss={"loss": "5"}, direction="from", **WEB),
            "spec.direction",
            "needs target",
        ),
        (
            manifest("NetworkChaos", action="partition", target={"mode": "all"}, **WEB),
            "spec.target.selector",
            "is missing",
        ),
        (manifest("IOChaos", action="fault", volumePath="/d", **WEB), "spec.errno", "is missing"),
        (manifest("TimeChaos", timeOffset="yesterday", **WEB), "spec.timeOffset", "is no duration"),
        (manifest("HTTPChaos", target="Request", abort=True, **WEB), "spec.port", "is no port"),
        (manifest("HTTPChaos", target="Request", port=80, **WEB), "spec.target", "nothing happens"),
        (schedule(kind="PodKaos", podChaos=KILL), "spec.type", "did you mean PodChaos"),
        (schedule(kind="PodChaos", stressChaos=KILL), "spec.podChaos", "is missing"),
        (schedule("now and then", podChaos=KILL), "spec.schedule", "is no time"),
        (schedule("@every 0s", podChaos=KILL), "spec.schedule", "is no time"),
        (schedule("* * *", podChaos=KILL), "spec.schedule", "is no time"),
        (schedule(podChaos={**KILL, "duration": "long"}), "spec.podChaos.duration", "is no duration"),
    ],
)
def test_what_the_definitions_alone_would_let_through(bad: dict[str, Any], place: str, told: str) -> None:
    found = manifest_problems(bad)
    assert [problem.place for problem in found] == [place]
    assert told in found[0].message
    assert f"manifest.{place}" in refusals("chaos_mesh", manifest=bad)[0]


def test_the_scheduler_of_chaos_mesh_1_becomes_a_schedule() -> None:
    old = manifest(**KILL, duration="10s", scheduler={"cron": "@every 2m"})
    found, notes = translated(old)
    assert found["kind"] == "Schedule"
    assert found["metadata"] == {"name": "mine"}
    assert found["spec"] == {
        "schedule": "@every 2m",
        "type": "PodChaos",
        "concurrencyPolicy": "Forbid",
        "podChaos": {**KILL, "duration": "10s"},
    }
    assert "it is made a Schedule of PodChaos, due @every 2m" in notes[0]
    assert old["spec"]["scheduler"] == {"cron": "@every 2m"}
    assert translated(found) == (found, [])
    bad = refusals("chaos_mesh", manifest=manifest(**KILL, scheduler={"cron": "sometimes"}))
    assert "manifest.spec.schedule: 'sometimes' is no time" in bad[0]


def test_check_tells_what_is_done_otherwise_than_it_is_written() -> None:
    old = manifest(**KILL, scheduler={"cron": "@every 2s"})
    other = manifest(**{**KILL, "action": "pod-failure"}, duration="99s")
    same = manifest(**{**KILL, "action": "container-kill", "containerNames": ["web"]}, duration="10s")
    data = [
        {"name": name, "kind": "chaos_mesh", "target": "web", "at": "5s", "for": "10s", "manifest": each}
        for name, each in (("old", old), ("other", other), ("same", same))
    ]
    target = {"kubernetes": {"namespace": "shop", "deployment": "web"}}
    plan = Plan.from_json(
        {"name": "p", "kubernetes": {"namespaces": ["shop"]}, "targets": {"web": target}, "faults": data}
    )
    checked = check_plan(plan)
    assert checked.problems == ()
    told = {problem.place: problem.message for problem in checked.warnings}
    assert "it is made a Schedule" in told["faults[0]"]
    assert told["faults[1]"] == "its duration 99s does not count; for: 10s does"
    assert "faults[2]" not in told


def test_two_experiments_at_once_unless_they_are_the_same() -> None:
    kill, fail = (
        fault("chaos_mesh", manifest=manifest(**{**KILL, "action": a})) for a in ("pod-kill", "pod-failure")
    )
    assert kill.clashes_with(fail) == ""
    assert kill.clashes_with(kill) == "both are PodChaos pod-kill"
    assert fail.clashes_with(fault("mesh_pod_failure")) == "both are PodChaos pod-failure"


# -- in our words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters", "mesh", "spec"),
    [
        ("mesh_pod_failure", {}, "PodChaos", {"action": "pod-failure"}),
        (
            "mesh_network",
            {"latency": "200ms", "jitter": "1.5ms", "correlation": "25%"},
            "NetworkChaos",
            {"action": "delay", "delay": {"latency": "200ms", "jitter": "1.5ms", "correlation": "25"}},
        ),
        (
            "mesh_network",
            {"loss": "2.5%"},
            "NetworkChaos",
            {"action": "loss", "loss": {"loss": "2.5", "correlation": "0"}},
        ),
        (
            "mesh_network",
            {"latency": "10ms"},
            "NetworkChaos",
            {"action": "delay", "delay": {"latency": "10ms", "jitter": "0s", "correlation": "0"}},
        ),
        (
            "mesh_network",
            {"duplicate": "5%", "corrupt": 0.01},
            "NetworkChaos",
            {
                "action": "netem",
                "duplicate": {"duplicate": "5", "correlation": "0"},
                "corrupt": {"corrupt": "1", "correlation": "0"},
            },
        ),
        (
            "mesh_network",
            {"rate": "2MB/s"},
            "NetworkChaos",
            {
                "action": "bandwidth",
                "bandwidth": {"rate": "2000000bps", "buffer": 20_000, "limit": 2_000_000},
            },
        ),
        ("mesh_network", {"partition": True}, "NetworkChaos", {"action": "partition", "direction": "to"}),
        (
            "mesh_network",
            {"partition": True, "to": "db"},
            "NetworkChaos",
            {"action": "partition", "direction": "both"},
        ),
        (
            "mesh_stress",
            {"cpu": 2, "load": "80%", "memory": "64MB"},
            "StressChaos",
            {"stressors": {"cpu": {"workers": 2, "load": 80}, "memory": {"workers": 1, "size": "64000000B"}}},
        ),
        (
            "mesh_io",
            {"volume": "/data", "path": "/data/*", "error": "ENOSPC", "share": "50%"},
            "IOChaos",
            {"action": "fault", "errno": 28, "volumePath": "/data", "percent": 50, "path": "/data/*"},
        ),
        (
            "mesh_io",
            {"volume": "/data", "latency": "1s"},
            "IOChaos",
            {"action": "latency", "delay": "1s", "volumePath": "/data", "percent": 100},
        ),
        ("mesh_time", {"offset": "-1h"}, "TimeChaos", {"timeOffset": "-3600s"}),
        ("mesh_time", {"offset": "90s"}, "TimeChaos", {"timeOffset": "90s"}),
        ("mesh_dns", {}, "DNSChaos", {"action": "error"}),
        (
            "mesh_dns",
            {"answer": "random", "names": ["db.*"]},
            "DNSChaos",
            {"action": "random", "patterns": ["db.*"]},
        ),
        (
            "mesh_http",
            {"port": 8080, "status": 503},
            "HTTPChaos",
            {"target": "Response", "port": 8080, "path": "*", "replace": {"code": 503}},
        ),
        (
            "mesh_http",
            {"port": 80, "path": "/api/*", "latency": "2s"},
            "HTTPChaos",
            {"target": "Response", "port": 80, "path": "/api/*", "delay": "2s"},
        ),
        (
            "mesh_http",
            {"port": 80, "abort": True},
            "HTTPChaos",
            {"target": "Response", "port": 80, "path": "*", "abort": True},
        ),
    ],
)
def test_words(kind: str, parameters: dict[str, Any], mesh: str, spec: dict[str, Any]) -> None:
    found = fault(kind, **parameters)
    assert isinstance(found, Drawn)
    assert found.spec() == (mesh, spec)
    other = {"target": {**WEB}} if parameters.get("to") else {}
    assert manifest_problems(manifest(mesh, **{**WEB, **other, **spec})) == []
    assert parse_fault(json.loads(json.dumps(found.to_json())), "") == found


@pytest.mark.parametrize(
    ("kind", "parameters", "told"),
    [
        ("mesh_network", {}, "nothing is given"),
        ("mesh_network", {"latency": "1s", "partition": True}, "too much is given"),
        ("mesh_network", {"loss": "5%", "jitter": "1s"}, "jitter: has no effect without latency"),
        ("mesh_network", {"partition": True, "correlation": "5%"}, "correlation: has no effect"),
        ("mesh_stress", {}, "give cpu or memory"),
        ("mesh_stress", {"cpu": 1, "load": "0.5%"}, "load: '0.5%' is finer than Chaos Mesh goes"),
        ("mesh_io", {"volume": "/d"}, "give latency or error"),
        ("mesh_io", {"volume": "/d", "latency": "1s", "error": "EIO"}, "and not both"),
        ("mesh_http", {"port": 80}, "give one of latency, status, abort"),
        ("mesh_time", {"offset": "soon"}, "offset"),
    ],
)
def test_words_that_say_nothing_or_too_much(kind: str, parameters: dict[str, Any], told: str) -> None:
    assert told in refusals(kind, **parameters)[0]
