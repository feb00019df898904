"""Faults that Chaos Mesh does, each in a namespace of its own in the cluster that KUBECONFIG names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes.client.exceptions import ApiException

from tests.crash.cell import Case, Cell, NotHere
from tests.servers.kubernetes_rig import IMAGE, Space, admin, namespace, until

GROUP = "/apis/chaos-mesh.org/v1alpha1"
DAEMONS = "/apis/discovery.k8s.io/v1/namespaces/chaos-mesh/endpointslices"
PLURALS = (
    "podchaos",
    "networkchaos",
    "stresschaos",
    "iochaos",
    "timechaos",
    "dnschaos",
    "httpchaos",
    "schedules",
)


def cell(kind: str, plural: str, unfit: str = "", daemon: bool = True, **parameters: Any) -> Cell:
    """unfit: why no cluster of the tests can do it. daemon: what it does is done on the node."""

    @contextmanager
    def make() -> Iterator[Case]:
        if not os.environ.get("KUBECONFIG"):
            raise NotHere("needs a Kubernetes cluster: KUBECONFIG is not set")
        if unfit:
            raise NotHere(unfit)
        with namespace(admin()) as space:
            needs(space, daemon)
            space.apply("deployment", "web", 2)
            yield Case(
                targets={"web": {"kubernetes": {"namespace": space.name, "deployment": "web"}}},
                fault={"kind": kind, "target": "web", **parameters},
                plan={"kubernetes": {"namespaces": [space.name]}},
                acting=lambda: acting(space, plural),
                left=lambda: left(space),
            )
            until(lambda: not left(space), f"nothing is left: {left(space)}")

    return make


def needs(space: Space, daemon: bool) -> None:
    try:
        space.ask("GET", GROUP)
        found = space.ask("GET", DAEMONS)["items"]
    except ApiException:
        raise NotHere("needs Chaos Mesh in the cluster") from None
    if not is_looked_after(space):
        raise NotHere("needs the controller of Chaos Mesh")
    if daemon and not any(each["metadata"]["name"].startswith("chaos-daemon") for each in found):
        raise NotHere("needs the daemon of Chaos Mesh on the nodes")


def is_looked_after(space: Space) -> bool:
    spec = {"action": "pod-kill", "mode": "one", "selector": {"namespaces": [space.name]}}
    body = {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "PodChaos",
        "metadata": {"name": "who"},
        "spec": spec,
    }
    space.ask("POST", f"{GROUP}/{{ns}}/podchaos", body)
    one = f"{GROUP}/{{ns}}/podchaos/who"
    try:
        until(lambda: (space.ask("GET", one).get("status") or {}).get("conditions"), "it is looked after", 15)
    except AssertionError:
        return False
    finally:
        space.ask("DELETE", one)
    until(lambda: not objects(space, "podchaos"), "the question is gone")
    return True


def objects(space: Space, plural: str) -> list[dict[str, Any]]:
    return list(space.ask("GET", f"{GROUP}/{{ns}}/{plural}")["items"])


def acting(space: Space, plural: str) -> bool:
    conditions = [
        (condition["type"], condition["status"])
        for each in objects(space, plural)
        for condition in (each.get("status") or {}).get("conditions") or ()
    ]
    return ("AllInjected", "True") in conditions


def left(space: Space) -> str:
    found = [f"{plural} {each['metadata']['name']}" for plural in PLURALS for each in objects(space, plural)]
    strange = [pod for pod in space.pods() if pod["spec"]["containers"][0]["image"] != IMAGE]
    return "; ".join([*found, *(["another image"] if strange else [])])


FAILURE = {
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "PodChaos",
    "spec": {"action": "pod-failure", "mode": "one", "selector": {"labelSelectors": {"app": "web"}}},
}

HELPERS = "needs the helpers (toda, tproxy, fakeclock) that only the images of Chaos Mesh's daemon have"

CELLS: dict[str, Cell] = {
    "chaos_mesh": cell("chaos_mesh", "podchaos", daemon=False, manifest=FAILURE),
    "mesh_pod_failure": cell("mesh_pod_failure", "podchaos", daemon=False),
    "mesh_network": cell("mesh_network", "networkchaos", partition=True),
    "mesh_stress": cell("mesh_stress", "stresschaos", cpu=1),
    "mesh_io": cell("mesh_io", "iochaos", HELPERS, volume="/tmp", latency="10ms"),
    "mesh_time": cell("mesh_time", "timechaos", HELPERS, offset="-1h"),
    "mesh_dns": cell("mesh_dns", "dnschaos", "needs the DNS server of Chaos Mesh"),
    "mesh_http": cell("mesh_http", "httpchaos", HELPERS, port=8080, latency="10ms"),
}
