"""Secrets of a cluster: in the surroundings of containers, and in its storage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from prometheus_client.parser import text_string_to_metric_families

from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.kubernetes.api import Cluster, told
from compliance.measures.kubernetes.bad import bad_cluster
from compliance.measures.kubernetes.workloads import Workload, workloads
from compliance.measures.operations.leaked import FORMS
from compliance.site import Site
from compliance.target import Target

TELLING = re.compile(
    r"(?:PASSWORD|PASSWD|PASSPHRASE|TOKEN|(?:API|PRIVATE|SECRET|ENCRYPTION|SIGNING)_?KEY|SECRET_ACCESS_KEY"
    r"|(?:CLIENT|APP|API|JWT|SESSION|COOKIE|WEBHOOK|SHARED)_SECRET)$",
    re.IGNORECASE,
)
"""How variables are called that hold a secret; `..._PASSWORD_FILE` holds a path."""
NO_SECRET = re.compile(r"|yes|no|true|false|on|off|[01]|\$\(.*|(?:/[\w.-]+)+", re.IGNORECASE | re.DOTALL)
"""What stands in such a variable and is none: a switch, another variable, a path."""
FORMS_OF_VALUES = ("private key", "signed token", "password in a URL", "cloud key")
TRANSFORMED = "apiserver_storage_transformation_operations"
ENCRYPTED = "k8s:enc:"
FLAG = re.compile(r"--encryption-provider-config[= ]")


class Environment(Measure):
    name = "kubernetes_environment"
    says = "which containers of the namespace have secrets in environment variables"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("kubernetes",)
    fields: ClassVar[Mapping[str, str]] = {
        "from_secrets": "containers with variables that are filled from a Secret",
        "written_out": "variables whose value is a secret that stands in the object itself, for all who may "
        "read pods",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        several, unread = workloads(Cluster(site))
        site.note(f"looked at: {', '.join(sorted({each.name for each in several}))}")
        return told(
            {
                "from_secrets": [name for each in several for name in _from_secrets(each)],
                "written_out": [name for each in several for name in _written_out(each)],
            },
            unread,
        )

    def bad(self) -> AbstractContextManager[Target]:
        return bad_cluster()


class Encryption(Measure):
    name = "kubernetes_encryption"
    says = "whether the cluster encrypts Secrets in its storage, as far as its API server shows that"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("kubernetes",)
    fields: ClassVar[Mapping[str, str]] = {
        "is_encrypted": "whether the Secrets that the API server has read and written were encrypted"
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        cluster = Cluster(site)
        seen = _by_metrics(cluster, site)
        if seen is None and _by_arguments(cluster, site) is False:
            seen = False
        if seen is None:
            raise Unsupported(
                "the API does not show whether Secrets are encrypted in the cluster's storage: neither the "
                "metrics of the API server nor its pod in kube-system tell"
            )
        return {"is_encrypted": seen}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_cluster()


def _from_secrets(one: Workload) -> Iterator[str]:
    for name, container in one.containers():
        single = [each.get("valueFrom") or {} for each in container.get("env") or ()]
        if any("secretKeyRef" in each for each in single) or any(
            "secretRef" in each for each in container.get("envFrom") or ()
        ):
            yield name


def _written_out(one: Workload) -> Iterator[str]:
    for name, container in one.containers():
        for each in container.get("env") or ():
            if is_secret(str(each.get("name")), each.get("value") or ""):
                yield f"{name}: {each['name']}"


def is_secret(name: str, value: str) -> bool:
    """Whether the value of a variable of this name is something to be kept secret."""
    if TELLING.search(name) and not NO_SECRET.fullmatch(value):
        return True
    # `$(NAME)` is another variable, which may come from a Secret.
    return any(FORMS[form].search(re.sub(r"\$\([^)]*\)", "", value)) for form in FORMS_OF_VALUES)


def _by_metrics(cluster: Cluster, site: Site) -> bool | None:
    """By what the API server has counted since it started; None: it does not tell."""
    try:
        text = cluster.text("/metrics")
    except Unsupported:
        return None
    prefixes = {
        sample.labels.get("transformer_prefix", "")
        for family in text_string_to_metric_families(_lines_of(text, TRANSFORMED))
        for sample in family.samples
        if sample.labels.get("resource") == "secrets" and sample.value > 0
    }
    site.note(f"{TRANSFORMED} of secrets: {sorted(prefixes) or 'none'}")
    if "identity" in prefixes:
        return False
    return True if any(each.startswith(ENCRYPTED) for each in prefixes) else None


def _by_arguments(cluster: Cluster, site: Site) -> bool | None:
    """False: an API server that is a pod of the cluster is not told how to encrypt. That it is told does not
    say that it encrypts."""
    try:
        pods = cluster.items("/api/v1/namespaces/kube-system/pods")
    except Unsupported:
        return None
    servers = [
        " ".join([*(container.get("command") or ()), *(container.get("args") or ())])
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get("component") == "kube-apiserver"
        for container in pod["spec"]["containers"]
        if container.get("name") == "kube-apiserver"
    ]
    bare = [each for each in servers if not FLAG.search(each)]
    site.note(f"API servers in kube-system: {len(servers)}, without {FLAG.pattern}: {len(bare)}")
    return False if bare else None


def _lines_of(text: str, metric: str) -> str:
    """The rest of some megabytes need not be read."""
    about = (f"# TYPE {metric}", metric)
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith(about))


MEASURES = (Environment, Encryption)
