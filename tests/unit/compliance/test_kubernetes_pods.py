"""What is said of the pods of a cluster by its objects, against a small API server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from compliance.auditor import Auditor
from compliance.measurement import Secrets
from compliance.measures.base import Unsupported
from compliance.measures.kubernetes.api import PAGE as OUR_PAGE
from compliance.measures.kubernetes.pods import Containers, DefaultToken, Host, Images, Limits, is_latest
from compliance.measures.kubernetes.secrets import is_secret
from compliance.site import Site
from tests.servers.kubernetes import APPS, BATCH, CORE, TOKEN, api, good, making, pod

from .kubernetes_judged import OF_PODS, answers_of, taken


def failed(answers: Mapping[str, Any]) -> set[str]:
    """The checks over pods that fail; all others must hold."""
    found = {
        check: answer for each in OF_PODS for check, answer in answers_of(each, taken(each, answers)).items()
    }
    assert set(found.values()) <= {"held", "failed"}, found
    return {check for check, answer in found.items() if answer == "failed"}


def test_a_pod_in_which_nothing_is_wrong_holds() -> None:
    assert failed({f"{CORE}/pods": [pod("shop", good())]}) == set()


C = good()["containers"][0]["securityContext"]
NOT_ROOT = {"securityContext": {"runAsNonRoot": True}}
FROM_SECRET = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
TOKEN_MOUNT = {"name": "t", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}


@pytest.mark.parametrize(
    ("container", "spec", "expected"),
    [
        ({"securityContext": {**C, "privileged": True}}, {}, {"privileged"}),
        ({"securityContext": {**C, "runAsNonRoot": False}}, {}, {"root"}),
        ({"securityContext": {**C, "runAsNonRoot": False, "runAsUser": 10}}, {}, set()),
        ({"securityContext": {**C, "runAsNonRoot": None}}, {"securityContext": {"runAsUser": 0}}, {"root"}),
        ({"securityContext": {**C, "runAsNonRoot": None}}, NOT_ROOT, set()),
        ({"securityContext": {**C, "runAsNonRoot": False}}, NOT_ROOT, {"root"}),
        ({"securityContext": {**C, "allowPrivilegeEscalation": None}}, {}, {"escalation"}),
        ({"securityContext": {**C, "capabilities": {}}}, {}, {"capabilities-kept"}),
        ({"securityContext": {**C, "capabilities": {"drop": ["all"], "add": ["CHOWN"]}}}, {}, set()),
        ({"securityContext": {**C, "capabilities": {"drop": ["ALL"], "add": ["CAP_NET_ADMIN"]}}}, {},
         {"capabilities-added"}),
        ({"securityContext": None}, {}, {"root", "escalation", "capabilities-kept"}),
        ({"securityContext": None}, {**NOT_ROOT, "os": {"name": "windows"}}, set()),
        ({}, {"hostPID": True}, {"host-namespaces"}),
        ({}, {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}, {"host-paths"}),
        ({}, {"volumes": [{"name": "a", "emptyDir": {}}]}, set()),
        ({"image": "shop"}, {}, {"images"}),
        ({"resources": {"limits": {"cpu": "1"}}}, {}, {"memory-limits"}),
        ({"resources": {"limits": {"memory": "1Gi"}}}, {"resources": {"limits": {"cpu": "2"}}}, set()),
        ({"resources": {}}, {}, {"memory-limits", "cpu-limits"}),
        ({}, {"serviceAccountName": "default"}, set()),
        ({"volumeMounts": [TOKEN_MOUNT]}, {}, set()),
        ({"volumeMounts": [TOKEN_MOUNT]}, {"serviceAccountName": "default"}, {"default-token"}),
        ({"env": [FROM_SECRET]}, {}, {"secrets-in-environment"}),
        ({"envFrom": [{"secretRef": {"name": "a"}}]}, {}, {"secrets-in-environment"}),
        ({"envFrom": [{"configMapRef": {}}], "env": [{"name": "LEVEL", "value": "info"}]}, {}, set()),
        ({"env": [{"name": "DB_PASSWORD", "value": "hunter2"}]}, {}, {"secrets-written-out"}),
        ({}, {"initContainers": good(image="a:latest")["containers"]}, {"images"}),
        ({}, {"ephemeralContainers": good(image="a:latest", resources={})["containers"]}, {"images"}),
    ],
)  # fmt: skip
def test_each_thing_wrong_alone(container: Any, spec: Any, expected: set[str]) -> None:
    assert failed({f"{CORE}/pods": [pod("shop", {**good(**container), **spec})]}) == expected


@pytest.mark.parametrize("path", ["deployments", "replicasets", "statefulsets", "daemonsets"])
def test_what_would_make_pods_is_looked_at_when_there_are_none(path: str) -> None:
    assert failed({f"{APPS}/{path}": [making("shop", good(image="shop:latest"))]}) == {"images"}


def test_jobs_and_what_makes_them() -> None:
    bad = making("a", good(image="shop:latest"))
    assert failed({f"{BATCH}/jobs": [bad]}) == {"images"}
    assert failed({f"{BATCH}/cronjobs": [{**bad, "spec": {"jobTemplate": {"spec": bad["spec"]}}}]}) == {
        "images"
    }
    done = making("a", good(image="shop:latest"), condition="Complete")
    rest = [pod("other", good()), pod("a-1", good(image="shop:latest"), "Succeeded", ("Job", "a"))]
    assert failed({f"{BATCH}/jobs": [done], f"{CORE}/pods": rest}) == set(), "it runs no more"


def test_what_runs_counts_and_not_what_it_was_made_from() -> None:
    """Admission may have made the pod better than its template, or worse."""
    template, running = good(image="shop:latest"), good(resources={})
    value = {
        f"{APPS}/deployments": [making("shop", template)],
        f"{APPS}/replicasets": [making("shop-1", template, ("Deployment", "shop"))],
        f"{CORE}/pods": [pod(f"shop-1-{each}", running, owner=("ReplicaSet", "shop-1")) for each in range(3)],
    }
    assert failed(value) == {"memory-limits", "cpu-limits"}
    assert taken(Limits, value)["without_cpu"] == ["Deployment/shop app"], "three pods of one deployment"


def test_a_template_gets_the_limits_of_a_limit_range() -> None:
    ranges = [{"spec": {"limits": [{"type": "Container", "default": {"memory": "1Gi", "cpu": "1"}}]}}]
    template = {f"{APPS}/deployments": [making("shop", good(resources={}))]}
    assert failed(template) == {"memory-limits", "cpu-limits"}
    assert failed({**template, f"{CORE}/limitranges": ranges}) == set()
    with pytest.raises(Unsupported, match="limitranges may not be read"):
        taken(Limits, {**template, f"{CORE}/limitranges": 403})


def test_a_template_gets_the_token_by_what_the_service_account_says() -> None:
    template = {f"{APPS}/deployments": [making("shop", {**good(), "serviceAccountName": "default"})]}
    account = f"{CORE}/serviceaccounts/default"
    assert failed({**template, account: {"automountServiceAccountToken": False}}) == set()
    assert failed({**template, account: {}}) == {"default-token"}
    with pytest.raises(Unsupported, match="serviceaccounts/default may not be read"):
        taken(DefaultToken, {**template, account: 403})


def test_every_page_is_read() -> None:
    pods = [pod(f"p{each}", good()) for each in range(6)] + [pod("last", good(image="a:latest"))]
    with api({f"{CORE}/pods": pods}) as (target, asked):
        value = Images().take(Site(target, Secrets()))
    assert value["latest"] == ["Pod/last app: a:latest"]
    assert sum(f"{CORE}/pods" in each.path for each in asked) == 4
    assert asked[0].path != asked[1].path
    assert f"limit={OUR_PAGE}" in asked[1].path


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("shop", True), ("shop:latest", True), ("registry:5000/shop", True), ("registry:5000/a:latest", True),
        ("shop:1.2", False), ("registry:5000/shop:1.2", False), ("shop@sha256:00", False),
        ("shop:latest@sha256:00", False), ("", True),
    ],
)  # fmt: skip
def test_images_that_may_be_any(image: str, expected: bool) -> None:
    assert is_latest(image) is expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DB_PASSWORD", "hunter2", True), ("db_password", "0815", True), ("API_KEY", "abc", True),
        ("AWS_SECRET_ACCESS_KEY", "abc", True), ("JWT_SECRET", "abc", True), ("GITHUB_TOKEN", "abc", True),
        ("DB_PASSWORD_FILE", "/run/secrets/db", False), ("DB_PASSWORD", "/run/secrets/db", False),
        ("DB_PASSWORD", "", False), ("EMPTY_PASSWORD", "yes", False), ("DB_PASSWORD", "$(OTHER)", False),
        ("TLS_SECRET", "shop-tls", False), ("TOKEN_TTL", "300", False), ("MODE", "password", False),
        ("DATABASE_URL", "postgresql://shop:hunter2@db/shop", True),
        ("DATABASE_URL", "postgresql://shop:$(DB_PASSWORD)@db/shop", False),
        ("DATABASE_URL", "postgresql://db/shop", False),
        ("PEM", "-----BEGIN {} KEY-----".format("PRIVATE"), True),
    ],
)  # fmt: skip
def test_secrets_among_variables(name: str, value: str, expected: bool) -> None:
    assert is_secret(name, value) is expected


def test_no_secret_is_shown() -> None:
    spec = good(env=[{"name": "DB_PASSWORD", "value": "hunter2-of-the-shop"}])
    with api({f"{CORE}/pods": [pod("shop", spec)]}) as (target, asked):
        found = Auditor(target).measure("kubernetes_environment").to_json()
    assert found["value"]["written_out"] == ["Pod/shop app: DB_PASSWORD"]
    assert asked[0].authorization == f"Bearer {TOKEN}"
    assert "hunter2" not in json.dumps(found)
    assert TOKEN not in json.dumps(found)


def test_what_is_wrong_is_said_though_not_all_may_be_read() -> None:
    answers = {f"{APPS}/deployments": 403, f"{CORE}/pods": [pod("shop", good(image="a:latest"))]}
    assert taken(Images, answers) == {"latest": ["Pod/shop app: a:latest"]}
    with pytest.raises(Unsupported, match="apps/v1/namespaces/shop/deployments may not be read"):
        taken(Host, answers)
    bad = [pod("shop", good(securityContext={**C, "privileged": True}))]
    value = taken(Containers, {**answers, f"{CORE}/pods": bad})
    assert answers_of(Containers, value)["privileged"] == "failed"
    assert answers_of(Containers, value)["root"] == "not_known"
