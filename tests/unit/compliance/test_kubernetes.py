"""What is said of a cluster's rights, networks, admission and storage, against a small API server."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.errors import ChaosError
from compliance.measurement import Secrets
from compliance.measures.base import Measure, Unsupported
from compliance.measures.kubernetes.network import Policies, allows_everything, denies
from compliance.measures.kubernetes.pods import Containers
from compliance.measures.kubernetes.rbac import Rbac
from compliance.measures.kubernetes.secrets import Encryption
from compliance.measures.kubernetes.server import Anonymous, PodSecurity
from compliance.site import Site, Unreachable
from compliance.target import Kubernetes, Target
from tests.servers.kubernetes import CORE, NETWORK, RBAC, api

from .kubernetes_judged import OF_PODS, answers_of, taken

RBAC_LISTS = [
    f"{RBAC}/{each}"
    for each in (
        "namespaces/shop/roles",
        "namespaces/shop/rolebindings",
        "clusterroles",
        "clusterrolebindings",
    )
]
ALL: tuple[type[Measure], ...] = (
    *OF_PODS, Encryption, Rbac, Policies, PodSecurity, Anonymous,
)  # fmt: skip


@pytest.mark.parametrize(
    "measure", [each for each in ALL if each is not Anonymous], ids=lambda each: each.name
)
def test_who_may_read_nothing_knows_nothing(measure: type[Measure]) -> None:
    answers = dict.fromkeys([CORE, f"{CORE}/pods", NETWORK, "/metrics", "/api/v1/namespaces/kube-system/pods",
                             *RBAC_LISTS], 403)  # fmt: skip
    with pytest.raises(Unsupported, match=r"may not be read|does not show|no pod can be tried"):
        taken(measure, {**answers, f"POST {CORE}/pods": lambda _: 403})


@pytest.mark.parametrize("measure", ALL, ids=lambda each: each.name)
def test_a_server_that_is_down_says_nothing(measure: type[Measure], tmp_path: Path) -> None:
    with measure().bad() as target:
        assert target.kubernetes is not None
        assert target.kubernetes.kubeconfig is not None
        config = target.kubernetes.kubeconfig.read_text()
    file = tmp_path / "config"
    file.write_text(config)
    gone = Target(name="gone", kubernetes=Kubernetes(kubeconfig=file, namespace="shop"))
    with pytest.raises(Unreachable):
        measure().take(Site(gone, Secrets()))


def test_a_namespace_that_is_not_there_is_a_mistake() -> None:
    for measure in (Containers, Policies, Rbac, PodSecurity):
        with pytest.raises(ChaosError, match="the cluster has no 'shop'"):
            taken(measure, {CORE: 404})


def test_nothing_to_look_at_is_no_pass() -> None:
    with pytest.raises(Unsupported, match="has no pods"):
        taken(Containers, {})


def test_credentials_that_are_refused_are_told() -> None:
    with pytest.raises(ChaosError, match="does not take the credentials") as told:
        taken(Containers, {CORE: 401})
    assert not isinstance(told.value, Unsupported | Unreachable)


@pytest.mark.parametrize("text", ["", "{", "[1]", "kind: Config\n", "current-context: a\ncontexts: []\n"])
def test_a_kubeconfig_that_is_no_good(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    for each in (file, tmp_path / "absent"):
        target = Target(name="test", kubernetes=Kubernetes(kubeconfig=each, namespace="shop"))
        with pytest.raises(ChaosError, match=r"kubernetes\.kubeconfig: .* is no good"):
            Containers().take(Site(target, Secrets()))


def test_without_the_package_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(Unsupported, match=r"pip install 'chaos-locust\[kubernetes\]'"):
        taken(Containers, {})


def counted(*prefixes: str, resource: str = "secrets") -> str:
    name = "apiserver_storage_transformation_operations_total"
    return f"# TYPE {name} counter\n" + "".join(
        f'{name}{{resource="{resource}",transformer_prefix="{each}"}} 2\n' for each in prefixes
    )


def server(*arguments: str) -> dict[str, Any]:
    container = {"name": "kube-apiserver", "command": ["kube-apiserver", *arguments]}
    labels = {"component": "kube-apiserver"}
    return {"metadata": {"name": "kube-apiserver-1", "labels": labels}, "spec": {"containers": [container]}}


@pytest.mark.parametrize(
    ("metrics", "servers", "expected"),
    [
        (counted("k8s:enc:aescbc:v1:", "key1:"), [], True),
        (counted("k8s:enc:kms:v2:", "identity"), [], False),
        (counted("identity"), [server("--encryption-provider-config=/a")], False),
        (counted("k8s:enc:aescbc:v1:", resource="configmaps"), [], None),
        (counted(), [server("--encryption-provider-config=/a")], None),
        (counted(), [server("--encryption-provider-config", "/a")], None),
        (counted(), [server("--encryption-provider-config-automatic-reload")], False),
        (counted(), [server("--encryption-provider-config=/a"), server()], False),
        (403, [server()], False),
        (403, 403, None),
        ("nothing of that", [], None),
    ],
)
def test_whether_secrets_are_encrypted(metrics: Any, servers: Any, expected: bool | None) -> None:
    answers = {"/metrics": metrics, "/api/v1/namespaces/kube-system/pods": servers}
    if expected is not None:
        assert taken(Encryption, answers) == {"is_encrypted": expected}
    else:
        with pytest.raises(Unsupported, match="does not show"):
            taken(Encryption, answers)


def role(name: str, **rule: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": [{"verbs": ["get"], "apiGroups": [""], **rule}]}


def binding(
    to: str, *subjects: tuple[str, str], kind: str = "ClusterRole", shipped: bool = False
) -> dict[str, Any]:
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"} if shipped else {}
    return {
        "metadata": {"name": "b", "labels": labels},
        "roleRef": {"kind": kind, "name": to},
        "subjects": [
            {"kind": each, **dict(zip(("name", "namespace"), name.split("@"), strict=False))}
            for each, name in subjects
        ],
    }


CLUSTER_ADMIN = "cluster-admin"
ADMIN = role(CLUSTER_ADMIN, verbs=["*"], resources=["*"], apiGroups=["*"])
EVERY_SECRET = role("secrets", verbs=["*"], resources=["secrets"])
LOOKER = role("looker", resources=["pods"])


@pytest.mark.parametrize(
    ("role", "binding", "expected"),
    [
        (ADMIN, binding(CLUSTER_ADMIN, ("ServiceAccount", "shop@shop")), {"admin-workloads"}),
        (ADMIN, binding(CLUSTER_ADMIN, ("User", "system:serviceaccount:shop:shop")), {"admin-workloads"}),
        (ADMIN, binding(CLUSTER_ADMIN, ("Group", "system:serviceaccounts:shop")), {"admin-workloads"}),
        (ADMIN, binding(CLUSTER_ADMIN, ("Group", "system:authenticated")), {"admin-workloads", "everybody"}),
        (ADMIN, binding(CLUSTER_ADMIN, ("Group", "system:masters")), set()),
        (ADMIN, binding(CLUSTER_ADMIN, ("User", "intern"), ("Group", "ops")), {"admins"}),
        (ADMIN, binding(CLUSTER_ADMIN, ("Group", "ops")), set()),
        (ADMIN, binding(CLUSTER_ADMIN, ("ServiceAccount", "tiller@kube-system")), {"admin-workloads"}),
        (ADMIN, binding(CLUSTER_ADMIN, ("ServiceAccount", "own@kube-system"), shipped=True), set()),
        (ADMIN, binding(CLUSTER_ADMIN, ("ServiceAccount", "shop@shop"), shipped=True), {"admin-workloads"}),
        (ADMIN, binding("absent", ("ServiceAccount", "shop@shop")), set()),
        (EVERY_SECRET, binding("secrets", ("User", "intern")), {"wildcards"}),
        (EVERY_SECRET, binding("secrets", ("User", "system:kube-scheduler")), set()),
        (role("a", resources=["*"]), binding("a", ("ServiceAccount", "shop@shop")), {"wildcards"}),
        ({"metadata": {"name": "a"}, "rules": [{"nonResourceURLs": ["*"], "verbs": ["*"]}]},
         binding("a", ("User", "intern")), set()),
        (LOOKER, binding("looker", ("ServiceAccount", "shop@shop")), set()),
        (LOOKER, binding("looker", ("Group", "system:unauthenticated")), {"everybody"}),
        (LOOKER, binding("looker", ("User", "system:anonymous")), {"everybody"}),
        (LOOKER, binding("looker", ("Group", "system:serviceaccounts:shop")), set()),
        (role("a", resources=["selfsubjectreviews"]), binding("a", ("Group", "system:authenticated")), set()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["clusterrolebindings", "namespaces/shop/rolebindings"])
def test_who_may_do_what(role: Any, binding: Any, place: str, expected: set[str]) -> None:
    value = taken(Rbac, {f"{RBAC}/clusterroles": [role], f"{RBAC}/{place}": [binding]}, admins=("ops",))
    answers = answers_of(Rbac, value)
    assert set(answers.values()) <= {"held", "failed"}
    assert {check for check, answer in answers.items() if answer == "failed"} == expected


def test_a_role_of_the_namespace_counts() -> None:
    here = f"{RBAC}/namespaces/shop"
    answers = {
        f"{here}/roles": [EVERY_SECRET],
        f"{here}/rolebindings": [binding("secrets", ("ServiceAccount", "shop"), kind="Role")],
    }
    (found,) = taken(Rbac, answers)["wildcards"]
    assert found == "ServiceAccount/shop/shop by RoleBinding/b to Role/secrets: * on secrets"


def test_who_may_be_an_administrator_is_not_guessed() -> None:
    value = taken(Rbac, {f"{RBAC}/clusterrolebindings": [binding("cluster-admin", ("User", "intern"))]})
    assert answers_of(Rbac, value)["admins"] == "not_known"


def test_cluster_admin_is_known_where_roles_may_not_be_read() -> None:
    answers = {
        f"{RBAC}/clusterroles": 403,
        f"{RBAC}/clusterrolebindings": [binding("cluster-admin", ("ServiceAccount", "shop@shop"))],
    }
    value = taken(Rbac, answers)
    assert answers_of(Rbac, value)["admin-workloads"] == "failed"
    assert answers_of(Rbac, value)["wildcards"] == "not_known"


DENY: Mapping[str, Any] = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize(
    ("spec", "denied", "allowed"),
    [
        (DENY, ["ingress", "egress"], []),
        ({"podSelector": {}}, ["ingress"], []),
        ({"podSelector": {}, "egress": [{"to": [{"podSelector": {}}]}]}, ["ingress", "egress"], []),
        ({**DENY, "podSelector": {"matchLabels": {"app": "shop"}}}, [], []),
        ({**DENY, "podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}, [], []),
        ({**DENY, "ingress": [{}]}, ["egress"], ["ingress"]),
        ({**DENY, "egress": [{"ports": [{"port": 53}]}, {"to": [], "ports": []}]}, ["ingress"], ["egress"]),
        ({**DENY, "ingress": [{"ports": [{"port": 80}]}]}, ["ingress", "egress"], []),
        ({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{}]}, ["egress"], []),
    ],
)
def test_what_a_policy_denies(spec: Mapping[str, Any], denied: list[str], allowed: list[str]) -> None:
    policy = {"metadata": {"name": "p"}, "spec": spec}
    assert [each for each in ("ingress", "egress") if denies(policy, each)] == denied
    assert [each for each in ("ingress", "egress") if allows_everything(policy, each)] == allowed


CILIUM = {
    "/apis": {"groups": [{"name": "cilium.io", "preferredVersion": {"groupVersion": "cilium.io/v2"}}]},
    "/apis/cilium.io/v2": {"resources": [{"name": "ciliumnetworkpolicies", "namespaced": True}]},
}
OF_CILIUM = "/apis/cilium.io/v2/namespaces/shop/ciliumnetworkpolicies"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"/apis": {"groups": []}}, "failed"),
        (CILIUM, "failed"),
        ({**CILIUM, OF_CILIUM: [{"metadata": {"name": "deny"}}]}, "not_known"),
        ({**CILIUM, OF_CILIUM: 403}, "not_known"),
        ({**CILIUM, "/apis/cilium.io/v2": 503}, "not_known"),
        ({"/apis": 403, NETWORK: [{"metadata": {"name": "deny"}, "spec": DENY}]}, "held"),
    ],
)
def test_policies_of_another_kind_may_deny_as_well(answers: Mapping[str, Any], expected: str) -> None:
    assert answers_of(Policies, taken(Policies, answers))["default-deny"] == expected


def refusing(*words: str) -> Mapping[str, Any]:
    return {
        f"POST {CORE}/pods": lambda document: 403 if any(each in str(document) for each in words) else 201
    }


LABEL = "pod-security.kubernetes.io/enforce"


@pytest.mark.parametrize(
    ("refused", "label", "expected"),
    [
        ([], None, (True, True)),
        (["'privileged': True"], None, (False, True)),
        (["'privileged': True", "'runAsUser': 0"], "privileged", (False, False)),
        (["Pod"], "restricted", (False, False)),
        (["Pod"], "baseline", (False, None)),
        (["Pod"], "privileged", None),
        (["Pod"], None, None),
    ],
)
def test_which_pods_are_admitted(
    refused: list[str], label: str | None, expected: tuple[bool | None, bool | None] | None
) -> None:
    namespace = {"metadata": {"name": "shop", "labels": {LABEL: label} if label else {}}}
    answers = {**refusing(*refused), CORE: namespace}
    if expected is None:
        with pytest.raises(Unsupported, match="no pod can be tried"):
            taken(PodSecurity, answers)
    else:
        value = taken(PodSecurity, answers)
        assert (value["admits_privileged"], value["admits_root"]) == expected


def test_nothing_is_made_but_by_a_dry_run() -> None:
    with api(refusing()) as (target, asked):
        for measure in (each for each in ALL if each is not Encryption):
            with pytest.raises(Unsupported) if measure in OF_PODS else nullcontext():
                measure().take(Site(target, Secrets()))
    written = [each for each in asked if each.method != "GET"]
    assert len(written) == 3
    assert all(each.path == f"{CORE}/pods?dryRun=All" for each in written)


def test_strangers_are_strangers() -> None:
    closed = dict.fromkeys(
        ["/api", "/apis", "/openapi/v2", "/metrics", "/api/v1/namespaces", "/api/v1/nodes", f"{CORE}/secrets",
         f"{CORE}/configmaps"], 403,
    )  # fmt: skip
    with api({**closed, f"{CORE}/pods": 401}) as (target, asked):
        assert Anonymous().take(Site(target, Secrets())) == {"readable": []}
    assert {each.authorization for each in asked} == {None}
    assert taken(Anonymous, {**closed, f"{CORE}/pods": []}) == {"readable": [f"{CORE}/pods"]}
    with pytest.raises(ChaosError, match="answers 500"):
        taken(Anonymous, {**closed, f"{CORE}/pods": 500})
