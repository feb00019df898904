"""The manifests in docker/kubernetes, as far as they can be judged without a cluster: tests/kube has more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos_locust import __version__
from chaos_locust.backends.kubernetes.rights import rights_of_plan, role
from chaos_locust.plan.documents import load_plan
from chaos_locust.plan.model import Plan

FOLDER = Path(__file__).parents[2] / "docker" / "kubernetes"
OBJECTS: dict[str, dict[str, Any]] = {
    f"{each['kind']} {each['metadata']['name']}": each
    for file in sorted(FOLDER.glob("*/*.yaml"))
    if file.name not in ("kustomization.yaml", "plan.yaml")
    for each in yaml.safe_load_all(file.read_text())
}
WITH_PODS = [name for name, each in OBJECTS.items() if "template" in each.get("spec", {})]
OURS = ("chaos-locust", "chaos-locust-shop")


def plan() -> Plan:
    return load_plan(FOLDER / "load" / "plan.yaml", {"NAMESPACE": "shop"})


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = OBJECTS[name]["spec"]["template"]["spec"]
    return found


def test_the_role_is_the_one_that_preflight_prints() -> None:
    target = plan().targets["web"].kubernetes
    assert target is not None
    printed = yaml.safe_load(role(rights_of_plan(plan(), target), "shop"))
    assert OBJECTS["Role chaos-locust"]["rules"] == printed["rules"]


def test_the_master_alone_has_it() -> None:
    (subject,) = OBJECTS["RoleBinding chaos-locust"]["subjects"]
    assert OBJECTS["RoleBinding chaos-locust"]["roleRef"]["name"] == "chaos-locust"
    for name in WITH_PODS:
        account = pod(name).get("serviceAccountName")
        if name == "Job chaos-locust-master":
            assert account == subject["name"]
            assert f"ServiceAccount {account}" in OBJECTS
        else:
            assert (account, pod(name)["automountServiceAccountToken"]) == (None, False)


def test_the_plan_is_about_what_is_there() -> None:
    target = plan().targets["web"].kubernetes
    assert target is not None
    assert target.workload == ("deployment", "web")
    assert OBJECTS["Deployment web"]["spec"]["replicas"] == 3
    (port,) = OBJECTS[f"Service {target.service}"]["spec"]["ports"]
    assert plan().host == f"http://{target.service}.shop:{port['port']}"


def test_a_disruption_budget_leaves_room_for_one() -> None:
    budget = OBJECTS["PodDisruptionBudget web"]["spec"]
    assert budget["minAvailable"] == OBJECTS["Deployment web"]["spec"]["replicas"] - 1
    assert budget["selector"] == OBJECTS["Deployment web"]["spec"]["selector"]


@pytest.mark.parametrize("name", [name for name in OBJECTS if name.startswith("Service ")])
def test_services_find_their_pods(name: str) -> None:
    spec = OBJECTS[name]["spec"]
    labels = [(each, OBJECTS[each]["spec"]["template"]["metadata"]["labels"]) for each in WITH_PODS]
    (found,) = [each for each, has in labels if spec["selector"].items() <= has.items()]
    open_ports = {port["containerPort"] for port in pod(found)["containers"][0]["ports"]}
    names = {port["name"] for port in pod(found)["containers"][0]["ports"]}
    assert all(port["targetPort"] in open_ports | names for port in spec["ports"])


@pytest.mark.parametrize("name", WITH_PODS)
def test_pods_may_little(name: str) -> None:
    assert pod(name)["securityContext"]["runAsNonRoot"] is True
    assert pod(name)["securityContext"]["runAsUser"] > 0
    volumes = {each["name"] for each in pod(name)["volumes"]} if "volumes" in pod(name) else set()
    for container in pod(name)["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {each["name"] for each in container.get("volumeMounts", [])} == volumes
        assert container["resources"].keys() == {"requests", "limits"}


@pytest.mark.parametrize("name", WITH_PODS)
def test_images_have_a_version(name: str) -> None:
    for container in pod(name)["containers"]:
        image, _, version = container["image"].partition(":")
        assert version == __version__ if image in OURS else version[0].isdigit()


@pytest.mark.parametrize("name", WITH_PODS)
def test_passwords_come_from_the_secret(name: str) -> None:
    for variable in pod(name)["containers"][0].get("env", []):
        if "PASSWORD" in variable["name"]:
            assert variable["valueFrom"]["secretKeyRef"]["name"] == "shop"
        for password in re.findall(r"://\w*:([^@/]*)@", variable.get("value", "")):
            assert re.fullmatch(r"\$\([A-Z]+_PASSWORD\)", password)


def test_what_serves_is_asked_whether_it_does() -> None:
    for name in WITH_PODS:
        (container,) = pod(name)["containers"]
        if container["image"].startswith("chaos-locust-shop") and name != "Job prepare":
            port = container["ports"][0]["containerPort"]
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert container[probe]["httpGet"]["port"] == port
            assert f"0.0.0.0:{port}" in container["args"]
