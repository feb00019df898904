"""Who may do what in a namespace of a cluster, as far as RBAC gives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from compliance.measures.base import Measure, SideEffect
from compliance.measures.kubernetes.api import Cluster, readable, told
from compliance.measures.kubernetes.bad import bad_cluster
from compliance.site import Site
from compliance.target import Target

RBAC = "rbac.authorization.k8s.io/v1"
CLUSTER_ADMIN = "cluster-admin"
EVERYBODY = frozenset({
    ("Group", "system:authenticated"),
    ("Group", "system:unauthenticated"),
    ("Group", "system:serviceaccounts"),
    ("User", "system:anonymous"),
})  # fmt: skip
OF_ONESELF = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
"""What everybody may ask about themselves."""
SHIPPED = ("kubernetes.io/bootstrapping", "rbac-defaults")
ACCOUNT = "system:serviceaccount:"
Who = Literal["kubernetes", "workload", "person"]


@dataclass(frozen=True, slots=True)
class Grant:
    """What one binding gives to one subject. subject: kind and name, that of a service account with its
    namespace. rules: of the role, as the API has them."""

    subject: tuple[str, str]
    binding: str
    role: str
    rules: Sequence[Mapping[str, Any]]
    who: Who

    def __str__(self) -> str:
        return f"{'/'.join(self.subject)} by {self.binding} to {self.role}"

    @property
    def is_to_everybody(self) -> bool:
        return self.subject in EVERYBODY

    @property
    def is_everything(self) -> bool:
        return any(
            all("*" in (rule.get(part) or ()) for part in ("verbs", "resources", "apiGroups"))
            for rule in self.rules
        )

    @property
    def wildcards(self) -> list[str]:
        return [
            f"{', '.join(rule.get('verbs') or ())} on {', '.join(rule['resources'])}"
            for rule in self.rules
            if rule.get("resources") and ("*" in (rule.get("verbs") or ()) or "*" in rule["resources"])
        ]

    @property
    def gives_objects(self) -> bool:
        return any(set(rule.get("resources") or ()) - OF_ONESELF for rule in self.rules)


class Rbac(Measure):
    name = "kubernetes_rbac"
    says = "what RBAC gives in the namespace to workloads, to people, and to everybody"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("kubernetes",)
    fields: ClassVar[Mapping[str, str]] = {
        "admin_workloads": "service accounts that may do everything, beside those of Kubernetes itself",
        "unexpected_admins": "users and groups that may do everything and are not in kubernetes.admins; "
        "null: it names nobody",
        "wildcards": "roles with * for verbs or resources, and who has them, beside those who may do "
        "everything and Kubernetes itself",
        "everybody": "what is given to everybody, even who is not logged in, beside questions about oneself",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.kubernetes is not None
        cluster = Cluster(site)
        cluster.exists()
        admins = site.target.kubernetes.admins
        found, unread = grants(cluster)
        given = [each for each in found if each.who != "kubernetes"]
        full = [each for each in given if each.is_everything]
        value = told(
            {
                "admin_workloads": [str(each) for each in full if each.who == "workload"],
                "unexpected_admins": [
                    str(each) for each in full if each.who == "person" and each.subject[1] not in admins
                ],
                "wildcards": [
                    f"{each}: {wildcard}"
                    for each in given
                    if not each.is_everything
                    for wildcard in each.wildcards
                ],
                "everybody": [str(each) for each in given if each.is_to_everybody and each.gives_objects],
            },
            unread,
        )
        return value if admins else {**value, "unexpected_admins": None}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_cluster()


def grants(cluster: Cluster) -> tuple[list[Grant], list[str]]:
    """All that reach the namespace, and what of them may not be read."""
    read, unread = readable(
        cluster,
        {
            "Role": f"{cluster.of(RBAC)}/roles",
            "RoleBinding": f"{cluster.of(RBAC)}/rolebindings",
            "ClusterRole": f"/apis/{RBAC}/clusterroles",
            "ClusterRoleBinding": f"/apis/{RBAC}/clusterrolebindings",
        },
    )
    rules = {
        (kind, each["metadata"]["name"]): each.get("rules") or ()
        for kind in ("Role", "ClusterRole")
        for each in read.get(kind, ())
    }
    if "ClusterRole" not in read:  # what it gives is known all the same
        rules["ClusterRole", CLUSTER_ADMIN] = [{"verbs": ["*"], "resources": ["*"], "apiGroups": ["*"]}]
    found = []
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        for binding in read.get(kind, ()):
            role = binding["roleRef"]["kind"], binding["roleRef"]["name"]
            is_shipped = (binding["metadata"].get("labels") or {}).get(SHIPPED[0]) == SHIPPED[1]
            for subject in _subjects(binding, cluster.namespace):
                name = f"{kind}/{binding['metadata']['name']}"
                who = _who(subject, is_shipped)
                # A role that is not there gives nothing.
                found.append(Grant(subject, name, "/".join(role), rules.get(role, ()), who))
    return found, unread


def _subjects(binding: Mapping[str, Any], namespace: str) -> Iterator[tuple[str, str]]:
    """Service accounts also where they are called by the name that they have as users."""
    for each in binding.get("subjects") or ():
        kind, name = each["kind"], each["name"]
        if kind == "ServiceAccount":
            name = f"{each.get('namespace') or namespace}/{name}"
        elif kind == "User" and name.startswith(ACCOUNT):
            kind, name = "ServiceAccount", name.removeprefix(ACCOUNT).replace(":", "/")
        yield kind, name


def _who(subject: tuple[str, str], is_shipped: bool) -> Who:
    """Names that begin with `system:` are kept for Kubernetes' own parts, but for groups of service accounts
    and of everybody. is_shipped: by a binding that Kubernetes has made."""
    kind, name = subject
    if subject in EVERYBODY or name.startswith("system:serviceaccounts:"):
        return "workload"
    if kind == "ServiceAccount":
        return "kubernetes" if is_shipped and name.startswith("kube-system/") else "workload"
    return "kubernetes" if name.startswith("system:") else "person"


MEASURES = (Rbac,)
