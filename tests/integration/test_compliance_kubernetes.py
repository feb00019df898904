"""What is said of a real cluster: a namespace in which everything is in order, and one for each thing wrong.

The cluster is that of CHAOS_LOCUST_KUBECONFIG, or of KUBECONFIG, as an administrator. Nothing that is planted
ever runs: no scheduler is asked to place it.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes import client, config, dynamic
from kubernetes.client.exceptions import ApiException

from compliance.auditor import Auditor
from compliance.catalogue import load
from compliance.checks import checks, judge
from compliance.measurement import Measurement
from compliance.target import Kubernetes, Target

FILE = os.environ.get("CHAOS_LOCUST_KUBECONFIG") or os.environ.get("KUBECONFIG")
pytestmark = pytest.mark.skipif(not FILE, reason="needs a Kubernetes cluster")

PATIENCE_S = 60.0
ENFORCE = "pod-security.kubernetes.io/enforce"
OF_THE_CLUSTER = {"kubernetes-secrets-encrypted", "kubernetes-anonymous"}
CONTEXT: Mapping[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


class Cluster:
    """One namespace of it."""

    def __init__(self, api: dynamic.DynamicClient, namespace: str) -> None:
        self.api, self.namespace = api, namespace

    def make(self, kind: str, version: str, name: str, namespaced: bool = True, **document: Any) -> Any:
        resource = self.api.resources.get(api_version=version, kind=kind)
        metadata = {"name": name, **({"namespace": self.namespace} if namespaced else {})}
        body = {"apiVersion": version, "kind": kind, "metadata": metadata, **document}
        return resource.create(body=body, namespace=self.namespace if namespaced else None)

    def pod(self, name: str = "shop", container: Mapping[str, Any] | None = None, **spec: Any) -> None:
        self.make("Pod", "v1", name, spec=pod_spec(container or {}, **spec))

    def role(self, *rules: Mapping[str, Any], to: Mapping[str, str]) -> None:
        self.make("Role", "rbac.authorization.k8s.io/v1", "planted", rules=list(rules))
        self.bind("Role", "planted", to)

    def bind(self, kind: str, name: str, to: Mapping[str, str]) -> None:
        self.make(
            "RoleBinding",
            "rbac.authorization.k8s.io/v1",
            f"planted-{uuid.uuid4().hex[:6]}",
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            subjects=[to],
        )

    def policy(self, name: str, **spec: Any) -> None:
        self.make("NetworkPolicy", "networking.k8s.io/v1", name, spec={"podSelector": {}, **spec})

    def target(self, **described: Any) -> Target:
        file = described.pop("kubeconfig", Path(str(FILE)))
        given = {"kubeconfig": file, "namespace": self.namespace, "admins": ("nobody",), **described}
        return Target(name="test", kubernetes=Kubernetes(**given))

    def answers(self, **described: Any) -> dict[str, str]:
        """What every check says; of what reaches the namespace from outside, only what is ours counts."""
        auditor = Auditor(self.target(**described))
        about = [each for each in checks().values() if each.measure.startswith("kubernetes_")]
        taken = {name: self._ours(auditor.measure(name)) for name in {each.measure for each in about}}
        return {each.id: judge(each, taken[each.measure], {}).answer for each in about}

    def failed(self) -> set[str]:
        answers = {check: each for check, each in self.answers().items() if check not in OF_THE_CLUSTER}
        assert "not_known" not in answers.values(), answers
        return {check.removeprefix("kubernetes-") for check, each in answers.items() if each == "failed"}

    def _ours(self, found: Measurement) -> Measurement:
        if found.measure != "kubernetes_rbac" or found.status != "ok":
            return found
        value = {
            name: each if each is None else [text for text in each if "planted" in text]
            for name, each in found.value.items()
        }
        return Measurement(found.measure, "ok", value, (), "", found.taken_at, found.took_s)


def pod_spec(container: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
    """With nothing wrong but what is given; it is never placed on a node."""
    app = {
        "name": "app",
        "image": "localhost/app:1",
        "resources": {"limits": {"cpu": "100m", "memory": "32Mi"}},
        "securityContext": CONTEXT,
        **container,
    }
    return {
        "schedulerName": "nobody",
        "automountServiceAccountToken": False,
        "containers": [app],
        **spec,
    }


def wait_until(what: Callable[[], Any]) -> Any:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError("not in time")


@pytest.fixture(scope="module")
def api() -> Iterator[dynamic.DynamicClient]:
    with config.new_client_from_config(FILE, persist_config=False) as known:
        yield dynamic.DynamicClient(known)


@contextmanager
def namespace(api: dynamic.DynamicClient, level: str = "") -> Iterator[Cluster]:
    """With default-deny policies; level: of Pod Security."""
    core = client.CoreV1Api(api.client)
    name = f"chaos-locust-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name, "labels": {ENFORCE: level} if level else {}}})
    try:
        found = Cluster(api, name)

        def account() -> bool:
            with suppress(ApiException):
                core.read_namespaced_service_account("default", name)
                return True
            return False

        wait_until(account)
        yield found
    finally:
        core.delete_namespace(name)


@pytest.fixture
def strict(api: dynamic.DynamicClient) -> Iterator[Cluster]:
    with namespace(api, "restricted") as found:
        found.policy("default-deny", policyTypes=["Ingress", "Egress"])
        yield found


@pytest.fixture(scope="module")
def lax(api: dynamic.DynamicClient) -> Iterator[Cluster]:
    """Takes any pod."""
    with namespace(api) as found:
        found.policy("default-deny", policyTypes=["Ingress", "Egress"])
        yield found


def test_a_namespace_in_order_holds(strict: Cluster) -> None:
    spec = {"template": {"metadata": {"labels": {"app": "shop"}}, "spec": pod_spec({})}}
    strict.make(
        "Deployment",
        "apps/v1",
        "shop",
        spec={"selector": {"matchLabels": {"app": "shop"}}, **spec, "replicas": 2},
    )
    core = client.CoreV1Api(strict.api.client)
    wait_until(lambda: len(core.list_namespaced_pod(strict.namespace).items) == 2)
    assert strict.failed() == set()


@pytest.mark.parametrize(
    ("framework", "profile"),
    [("fisma", "moderate"), ("fedramp", "class-c"), ("soc2", "all"), ("hipaa", "all"), ("pcidss", "all")],
)
def test_an_audit_believes_what_its_positive_controls_confirm(
    strict: Cluster, framework: str, profile: str
) -> None:
    strict.pod()
    found = load(framework)
    result = Auditor(strict.target()).audit(found, found.profiles[profile])
    told = {
        each.check.id: each
        for control in result.controls
        for each in control.outcomes
        if each.check.id.startswith("kubernetes-")
    }
    assert len(told) >= 15
    answers = {check: each.answer for check, each in told.items() if check not in OF_THE_CLUSTER}
    assert set(answers.values()) == {"held"}, [each.text for each in told.values() if each.text]


@pytest.mark.parametrize(
    ("container", "spec", "expected"),
    [
        ({"securityContext": {**CONTEXT, "privileged": True, "allowPrivilegeEscalation": True}}, {},
         {"privileged", "escalation"}),
        ({"securityContext": {**CONTEXT, "runAsNonRoot": False, "runAsUser": 0}}, {}, {"root"}),
        ({"securityContext": {}}, {}, {"root", "escalation", "capabilities-kept"}),
        ({"securityContext": {**CONTEXT, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}}, {},
         {"capabilities-added"}),
        ({"securityContext": {**CONTEXT, "capabilities": {"drop": ["NET_RAW"]}}}, {}, {"capabilities-kept"}),
        ({}, {"hostNetwork": True}, {"host-namespaces"}),
        ({}, {"hostPID": True}, {"host-namespaces"}),
        ({}, {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, {"host-paths"}),
        ({"image": "localhost/app:latest"}, {}, {"images"}),
        ({"image": "localhost/app"}, {}, {"images"}),
        ({"resources": {"limits": {"cpu": "1"}}}, {}, {"memory-limits"}),
        ({"resources": {}}, {}, {"memory-limits", "cpu-limits"}),
        ({}, {"automountServiceAccountToken": True}, {"default-token"}),
        ({"envFrom": [{"secretRef": {"name": "shop"}}]}, {}, {"secrets-in-environment"}),
        ({"env": [{"name": "DB_PASSWORD", "value": "made-up"}]}, {}, {"secrets-written-out"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["Pod", "CronJob"])
def test_each_thing_wrong_alone(
    lax: Cluster, kind: str, container: Any, spec: Any, expected: set[str]
) -> None:
    """A CronJob has no pods yet."""
    name = f"planted-{uuid.uuid4().hex[:6]}"
    if kind == "Pod":
        lax.pod(name, container, **spec)
        version = "v1"
    else:
        template = {"template": {"spec": {**pod_spec(container, **spec), "restartPolicy": "Never"}}}
        version, job = "batch/v1", {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": template}}
        lax.make(kind, version, name, spec=job)
    try:
        assert lax.failed() == {*expected, "privileged-refused", "root-refused"}
    finally:
        resource = lax.api.resources.get(api_version=version, kind=kind)
        resource.delete(name, lax.namespace, grace_period_seconds=0)


def test_limits_by_admission_count(strict: Cluster) -> None:
    each = {"cpu": "100m", "memory": "32Mi"}
    strict.make("LimitRange", "v1", "given", spec={"limits": [{"type": "Container", "default": each}]})
    strict.pod(container={"resources": {}})
    assert strict.failed() == set()


@pytest.mark.parametrize(
    ("level", "expected"),
    [("", {"privileged-refused", "root-refused"}), ("baseline", {"root-refused"}), ("restricted", set())],
)
def test_what_admission_refuses(api: dynamic.DynamicClient, level: str, expected: set[str]) -> None:
    with namespace(api, level) as found:
        found.policy("default-deny", policyTypes=["Ingress", "Egress"])
        found.pod()
        assert found.failed() == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (None, {"default-deny"}),
        ({"policyTypes": ["Ingress"]}, {"default-deny"}),
        (
            {"policyTypes": ["Ingress", "Egress"], "podSelector": {"matchLabels": {"a": "b"}}},
            {"default-deny"},
        ),
        ({"policyTypes": ["Ingress", "Egress"], "egress": [{}]}, {"default-deny", "allow-everything"}),
        ({"policyTypes": ["Ingress", "Egress"]}, set()),
    ],
)
def test_which_policies_deny(api: dynamic.DynamicClient, spec: Any, expected: set[str]) -> None:
    with namespace(api, "restricted") as found:
        found.pod()
        if spec is not None:
            found.policy("one", **spec)
        assert found.failed() == expected


GROUP = "rbac.authorization.k8s.io"


@pytest.mark.parametrize(
    ("role", "subject", "expected"),
    [
        (None, {"kind": "ServiceAccount", "name": "default"}, {"admin-workloads"}),
        (None, {"kind": "User", "name": "intern", "apiGroup": GROUP}, {"admins"}),
        (None, {"kind": "User", "name": "nobody", "apiGroup": GROUP}, set()),
        ({"resources": ["pods"], "verbs": ["*"]}, {"kind": "ServiceAccount", "name": "default"},
         {"wildcards"}),
        ({"resources": ["*"], "verbs": ["get"]}, {"kind": "User", "name": "x", "apiGroup": GROUP},
         {"wildcards"}),
        ({"resources": ["pods"], "verbs": ["get"]}, {"kind": "ServiceAccount", "name": "default"}, set()),
        ({"resources": ["events"], "verbs": ["get"]},
         {"kind": "Group", "name": "system:authenticated", "apiGroup": GROUP}, {"everybody"}),
    ],
)  # fmt: skip
def test_who_may_do_too_much(strict: Cluster, role: Any, subject: dict[str, str], expected: set[str]) -> None:
    strict.pod()
    own = {"namespace": strict.namespace} if subject["kind"] == "ServiceAccount" else {}
    if role is None:
        strict.bind("ClusterRole", "cluster-admin", {**subject, **own})
    else:
        strict.role({"apiGroups": [""], **role}, to={**subject, **own})
    assert strict.failed() == expected


def test_what_strangers_are_told(strict: Cluster) -> None:
    before = Auditor(strict.target()).measure("kubernetes_anonymous")
    anybody = {"kind": "User", "name": "system:anonymous", "apiGroup": GROUP}
    strict.role({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}, to=anybody)
    path = f"/api/v1/namespaces/{strict.namespace}/configmaps"
    assert before.status == "ok"
    assert path not in before.value["readable"]
    auditor = Auditor(strict.target())
    wait_until(lambda: path in auditor.measure("kubernetes_anonymous").value["readable"])


@pytest.fixture
def reader(strict: Cluster, tmp_path: Path) -> Path:
    """The kubeconfig of a service account that may read pods, and nothing else."""
    strict.role(
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        to={"kind": "ServiceAccount", "name": "default", "namespace": strict.namespace},
    )
    core = client.CoreV1Api(strict.api.client)
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = core.create_namespaced_service_account_token("default", strict.namespace, body).status.token
    given = yaml.safe_load(Path(str(FILE)).read_text())
    context = next(each for each in given["contexts"] if each["name"] == given["current-context"])
    context["context"]["user"] = "reader"
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump({**given, "users": [{"name": "reader", "user": {"token": token}}]}))
    return file


def test_what_may_not_be_read_is_no_pass(strict: Cluster, reader: Path) -> None:
    strict.pod()
    answers = strict.answers(kubeconfig=reader)
    held = {check for check, answer in answers.items() if answer == "held"}
    assert held <= {"kubernetes-anonymous"}
    assert "failed" not in answers.values(), answers
    found = Auditor(strict.target(kubeconfig=reader)).measure("kubernetes_rbac")
    assert (found.status, "may not be read" in found.reason) == ("unsupported", True)


def test_in_a_pod_its_service_account_is_used(
    strict: Cluster, reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict.pod(container={"image": "localhost/app:latest"})
    known = strict.api.client.configuration
    token = tmp_path / "token"
    token.write_text(yaml.safe_load(reader.read_text())["users"][0]["user"]["token"])
    url = urlsplit(known.host)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(url.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(url.port))
    monkeypatch.setattr(config.incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(config.incluster_config, "SERVICE_CERT_FILENAME", known.ssl_ca_cert)
    monkeypatch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "absent"))
    found = Auditor(strict.target(kubeconfig=None)).measure("kubernetes_images")
    assert found.value == {"latest": ["Pod/shop app: localhost/app:latest"]}
    assert token.read_text() not in str(found)


def test_what_may_be_read_and_is_wrong_is_said(strict: Cluster, reader: Path) -> None:
    strict.pod(container={"image": "localhost/app:latest"})
    answers = strict.answers(kubeconfig=reader)
    assert {check for check, answer in answers.items() if answer == "failed"} == {"kubernetes-images"}


def test_a_namespace_that_is_not_there(strict: Cluster) -> None:
    found = Auditor(strict.target(namespace=f"{strict.namespace}-not")).measure("kubernetes_containers")
    assert (found.status, found.reason) == (
        "error",
        f"kubernetes.namespace: the cluster has no '{strict.namespace}-not'",
    )
