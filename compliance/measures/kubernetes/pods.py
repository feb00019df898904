"""What the containers of a namespace may do to their node and to each other, by the objects of its API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.kubernetes.api import Cluster, Forbidden, told
from compliance.measures.kubernetes.bad import bad_cluster
from compliance.measures.kubernetes.workloads import Workload, workloads
from compliance.site import Site
from compliance.target import Target

ORDINARY = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip
"""Capabilities that containers have anyway, and that the level `baseline` of the Pod Security Standards lets
them add."""
NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
Find = Callable[[Workload], Iterator[str]]


class _OfPods(Measure):
    """found: what is wrong with one workload, for each field."""

    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("kubernetes",)
    found: ClassVar[Mapping[str, Find]]

    def take(self, site: Site) -> Mapping[str, Any]:
        several, unread = workloads(Cluster(site))
        site.note(f"looked at: {', '.join(sorted({each.name for each in several}))}")
        found = {name: [each for one in several for each in find(one)] for name, find in self.found.items()}
        return told(found, unread)

    def bad(self) -> AbstractContextManager[Target]:
        return bad_cluster()


def _privileged(one: Workload) -> Iterator[str]:
    for name, container in one.containers():
        context = _context(container)
        if context.get("privileged") or _setting(one, container, "windowsOptions").get("hostProcess"):
            yield name


def _as_root(one: Workload) -> Iterator[str]:
    """The image says whom it runs as where nothing else does, and is not to be trusted with that."""
    for name, container in one.containers():
        user = _setting(one, container, "runAsUser", None)
        if not _setting(one, container, "runAsNonRoot", False) and not user:
            yield name


def _may_escalate(one: Workload) -> Iterator[str]:
    for name, container in one.containers():
        if not one.is_windows and _context(container).get("allowPrivilegeEscalation") is not False:
            yield name


def _added(one: Workload) -> Iterator[str]:
    for name, container in one.containers():
        for each in (_context(container).get("capabilities") or {}).get("add") or ():
            if each.upper().removeprefix("CAP_") not in ORDINARY:
                yield f"{name}: {each}"


def _keeps(one: Workload) -> Iterator[str]:
    for name, container in one.containers():
        dropped = (_context(container).get("capabilities") or {}).get("drop") or ()
        if not one.is_windows and "ALL" not in [each.upper() for each in dropped]:
            yield name


def _host_namespaces(one: Workload) -> Iterator[str]:
    yield from (f"{one.name}: {each}" for each in NAMESPACES if one.spec.get(each))


def _host_paths(one: Workload) -> Iterator[str]:
    for volume in one.spec.get("volumes") or ():
        if "hostPath" in volume:
            yield f"{one.name}: {(volume['hostPath'] or {}).get('path')}"


def _latest(one: Workload) -> Iterator[str]:
    for name, container in one.containers():
        if is_latest(str(container.get("image") or "")):
            yield f"{name}: {container.get('image')}"


class Containers(_OfPods):
    name = "kubernetes_containers"
    says = "what keeps the containers of the namespace from acting as root, and from getting more rights"
    fields: ClassVar[Mapping[str, str]] = {
        "privileged": "containers that have every right on their node",
        "as_root": "containers that nothing keeps from running as root",
        "may_escalate": "containers whose processes may get more rights than what started them",
        "added_capabilities": "Linux capabilities beyond the ordinary that containers are given",
        "keeps_capabilities": "containers that do not give up all capabilities",
    }
    found: ClassVar[Mapping[str, Find]] = {
        "privileged": _privileged,
        "as_root": _as_root,
        "may_escalate": _may_escalate,
        "added_capabilities": _added,
        "keeps_capabilities": _keeps,
    }


class Host(_OfPods):
    name = "kubernetes_host"
    says = "which pods of the namespace share something with the node that they run on"
    fields: ClassVar[Mapping[str, str]] = {
        "namespaces": "pods that see the node's network, processes or shared memory",
        "paths": "pods that have folders of the node (hostPath)",
    }
    found: ClassVar[Mapping[str, Find]] = {"namespaces": _host_namespaces, "paths": _host_paths}


class Images(_OfPods):
    name = "kubernetes_images"
    says = "whether it is fixed which image the containers of the namespace run"
    fields: ClassVar[Mapping[str, str]] = {
        "latest": "containers whose image has neither a digest nor a tag other than latest"
    }
    found: ClassVar[Mapping[str, Find]] = {"latest": _latest}


class Limits(_OfPods):
    name = "kubernetes_limits"
    says = "whether the containers of the namespace may use up their node"
    fields: ClassVar[Mapping[str, str]] = {
        "without_memory": "containers without a limit of memory",
        "without_cpu": "containers without a limit of CPU",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        """A template without limits may still get those of a LimitRange, as its pods are admitted."""
        cluster = Cluster(site)
        several, unread = workloads(cluster)
        given: set[str] = set()
        try:
            ranges = cluster.items(f"{cluster.here}/limitranges")
            given = {name for each in ranges for name in _defaults(each)}
        except Forbidden as error:
            if any(not each.is_running for each in several):
                several, unread = [each for each in several if each.is_running], [*unread, str(error)]
        return told(
            {
                f"without_{resource}": [
                    name
                    for each in several
                    if each.is_running or resource not in given
                    for name in _without(each, resource)
                ]
                for resource in ("memory", "cpu")
            },
            unread,
        )

    def bad(self) -> AbstractContextManager[Target]:
        return bad_cluster()


class DefaultToken(Measure):
    name = "kubernetes_default_token"
    says = "which pods of the namespace are handed the token of its default service account"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("kubernetes",)
    fields: ClassVar[Mapping[str, str]] = {
        "mounted": "pods of the service account default that its token is mounted into"
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        cluster = Cluster(site)
        several, unread = workloads(cluster)
        found = []
        for each in several:
            if each.spec.get("serviceAccountName") not in (None, "", "default"):
                continue
            mounts = _has_token(each) if each.is_running else each.spec.get("automountServiceAccountToken")
            if mounts is None:
                try:
                    account = cluster.get(f"{cluster.here}/serviceaccounts/default")
                    mounts = account.get("automountServiceAccountToken") is not False
                except Unsupported as error:
                    unread.append(str(error))
            if mounts:
                found.append(each.name)
        return told({"mounted": found}, unread)

    def bad(self) -> AbstractContextManager[Target]:
        return bad_cluster()


def is_latest(image: str) -> bool:
    """`registry:5000/shop` has a port, and no tag."""
    if "@" in image:
        return False
    return image.rpartition("/")[2].partition(":")[2] in ("", "latest")


def _context(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return container.get("securityContext") or {}


def _setting(one: Workload, container: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """The container's own, else the pod's."""
    for context in (_context(container), one.spec.get("securityContext") or {}):
        if context.get(name) is not None:
            return context[name]
    return {} if name == "windowsOptions" else default


def _without(one: Workload, resource: str) -> Iterator[str]:
    """A limit of the whole pod is one for each of its containers. Ephemeral ones cannot have any."""
    if resource in ((one.spec.get("resources") or {}).get("limits") or {}):
        return
    for name, container in one.containers(ephemeral=False):
        if resource not in ((container.get("resources") or {}).get("limits") or {}):
            yield name


def _defaults(limit_range: Mapping[str, Any]) -> Iterator[str]:
    """What a container gets a limit of that has none."""
    for each in (limit_range.get("spec") or {}).get("limits") or ():
        if each.get("type") == "Container":
            yield from each.get("default") or each.get("max") or ()


def _has_token(one: Workload) -> bool:
    return any(
        each.get("mountPath") == TOKEN_FOLDER
        for _, container in one.containers()
        for each in container.get("volumeMounts") or ()
    )


MEASURES = (Containers, Host, Images, Limits, DefaultToken)
