"""docker/kubernetes in a real cluster: its API server takes the manifests; the shop and its load run there.

The images are those of docker/Dockerfile, brought to the node by its containerd; those of PostgreSQL and
Redis, which a registry has, are stand-ins with the same servers. Names are put into the pods by
`hostAliases`, so that the cluster needs no DNS.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from tests.docker import root
from tests.docker.images import TAGS, bring_in, build, docker_or_skip, packages_or_skip
from tests.servers.docker import Daemon
from tests.servers.kubernetes_rig import Json, Space, namespace, until

FOLDER = Path(__file__).parents[2] / "docker" / "kubernetes"
PARTS = ("shop", "load")
NAMES = ("postgres", "cache", "payments", "identity", "web", "chaos-locust-master")
STARTS_S, RUNS_S = 300.0, 420.0
PATHS = {
    "ConfigMap": "/api/v1/{ns}/configmaps",
    "Deployment": "/apis/apps/v1/{ns}/deployments",
    "Job": "/apis/batch/v1/{ns}/jobs",
    "Pod": "/api/v1/{ns}/pods",
    "PodDisruptionBudget": "/apis/policy/v1/{ns}/poddisruptionbudgets",
    "Role": "/apis/rbac.authorization.k8s.io/v1/{ns}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/{ns}/rolebindings",
    "Service": "/api/v1/{ns}/services",
    "ServiceAccount": "/api/v1/{ns}/serviceaccounts",
    "StatefulSet": "/apis/apps/v1/{ns}/statefulsets",
}


@pytest.fixture(scope="module")
def place(api: Any) -> Iterator[Space]:
    """A namespace that takes only pods that may little, with the Secret."""
    with namespace(api) as space:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        space.ask("PATCH", "/api/v1/{ns}", {"metadata": {"labels": labels}})
        words = {name: secrets.token_hex(16) for name in ("admin", "database", "cache")}
        space.ask("POST", "/api/v1/{ns}/secrets", {"metadata": {"name": "shop"}, "stringData": words})
        yield space


def manifests(part: str, space: Space, folder: Path, **more: Any) -> list[Json]:
    """As `kubectl apply -k` sends them, of an overlay with another namespace."""
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl")
    overlay = folder / f"{part}-{uuid4().hex[:4]}"
    overlay.mkdir()
    resource = os.path.relpath(FOLDER / part, overlay.resolve())
    overlaid = {"namespace": space.name, "resources": [resource], **more}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(overlaid))
    done = subprocess.run(["kubectl", "kustomize", str(overlay)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("part", PARTS)
def test_the_api_server_takes_them(place: Space, tmp_path: Path, part: str) -> None:
    """Strictly: a key that it does not know is an error. Their pods too, where pods may little."""
    found = manifests(part, place, tmp_path)
    assert found
    for each in found:
        place.ask("POST", PATHS[each["kind"]], each, dryRun="All", fieldValidation="Strict")
        if "template" in each.get("spec", {}):
            spec = {"restartPolicy": "Always"} | each["spec"]["template"]["spec"]
            spec.pop("serviceAccountName", None)  # it is not there in a dry run
            pod = {"metadata": {"name": "tried"}, "spec": spec}
            place.ask("POST", PATHS["Pod"], pod, dryRun="All", fieldValidation="Strict")


def test_a_mistake_would_be_seen(place: Space, tmp_path: Path) -> None:
    (web,) = [each for each in manifests("shop", place, tmp_path) if each["kind"] == "Deployment"][-1:]
    web["spec"]["replica"] = 3
    with pytest.raises(ApiException, match="unknown field"):
        place.ask("POST", PATHS["Deployment"], web, dryRun="All", fieldValidation="Strict")
    spec = web["spec"]["template"]["spec"]
    spec["securityContext"]["runAsNonRoot"] = False
    pod = {"metadata": {"name": "tried"}, "spec": spec}
    with pytest.raises(ApiException, match="violates PodSecurity"):
        place.ask("POST", PATHS["Pod"], pod, dryRun="All")


def containerd() -> Path:
    """The socket of the only node's: where the script that starts the cluster has it, by the kubeconfig."""
    found = os.environ.get("CHAOS_LOCUST_KUBE_CONTAINERD")
    sockets = [Path(found)] if found else []
    sockets += sorted(Path(os.environ["KUBECONFIG"]).resolve().parents[1].glob("n*/containerd.sock"))
    if len(sockets) != 1 or not shutil.which("ctr"):
        pytest.skip("no containerd to bring images to: CHAOS_LOCUST_KUBE_CONTAINERD is its socket")
    return sockets[0]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Json]]:
    """At the node, by names that nobody else has, as kustomize takes them; gone at the end."""
    ctr = ["ctr", "--address", str(containerd()), "--namespace", "k8s.io", "images"]
    packages_or_skip()
    tag, archive = f"test-{uuid4().hex[:8]}", tmp_path_factory.mktemp("images") / "images.tar"
    names = {tag_of.partition(":")[0]: tag_of for tag_of in TAGS.values()}
    with docker_or_skip() as found:
        build(found)
        bring_in(found, "postgres:stand-in", root.postgres(), ["ENV " + root.PATH, 'ENTRYPOINT ["/entry"]'])
        bring_in(found, "redis:stand-in", root.redis(), ["ENV " + root.PATH])
        names |= {"postgres": "postgres:stand-in", "redis": "redis:stand-in"}
        ours = {name: f"localhost/{name}" for name in names}
        save(found, {names[name]: f"{ours[name]}:{tag}" for name in names}, archive)
    subprocess.run([*ctr, "import", str(archive)], check=True, capture_output=True)
    archive.unlink()
    yield [{"name": name, "newName": ours[name], "newTag": tag} for name in names]
    subprocess.run([*ctr, "rm", *(f"{each}:{tag}" for each in ours.values())], check=True)


def save(found: Daemon, names: dict[str, str], archive: Path) -> None:
    for old, new in names.items():
        found.client.images.get(old).tag(new)
    command = ["docker", "--host", found.host, "save", "--output", str(archive), *names.values()]
    subprocess.run(command, check=True)


def apply(space: Space, objects: list[Json]) -> None:
    for each in objects:
        space.ask("POST", PATHS[each["kind"]], each, fieldValidation="Strict")


def addresses(space: Space) -> list[Json]:
    found = []
    for name in NAMES:
        with contextlib.suppress(ApiException):
            service = space.ask("GET", f"/api/v1/{{ns}}/services/{name}")
            found.append({"ip": service["spec"]["clusterIP"], "hostnames": [name, f"{name}.{space.name}"]})
    return found


def start(space: Space, part: str, folder: Path, images: list[Json]) -> None:
    """Services first: the pods are told their addresses."""
    services = [each for each in manifests(part, space, folder) if each["kind"] == "Service"]
    apply(space, services)
    aliases = {"op": "add", "path": "/spec/template/spec/hostAliases", "value": addresses(space)}
    patch = {"target": {"kind": "Deployment|StatefulSet|Job"}, "patch": yaml.safe_dump([aliases])}
    found = manifests(part, space, folder, patches=[patch], images=images)
    apply(space, [each for each in found if each["kind"] != "Service"])


def pods(space: Space, label: str) -> list[Json]:
    found = space.ask("GET", "/api/v1/{ns}/pods", labelSelector=label)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def log(space: Space, name: str) -> str:
    done = subprocess.run(
        ["kubectl", "--namespace", space.name, "logs", name], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.long
def test_a_pod_of_the_shop_is_killed_from_within(place: Space, images: list[Json], tmp_path: Path) -> None:
    """Master and workers run in the cluster, with the rights of the manifests and no others."""
    start(place, "shop", tmp_path, images)
    whole = "app.kubernetes.io/name=web"
    until(lambda: ready(place, whole) == 3, "the shop is ready", STARTS_S)
    before = {pod["metadata"]["uid"] for pod in pods(place, whole)}
    start(place, "load", tmp_path, images)
    master = "app.kubernetes.io/name=locust,app.kubernetes.io/component=master"
    until(lambda: ended(place, master) is not None, "the run is over", RUNS_S)
    told = log(place, pods(place, master)[0]["metadata"]["name"])
    assert ended(place, master) == 0, told
    assert "lost-pod" in told
    after = {pod["metadata"]["uid"] for pod in pods(place, whole)}
    assert len(before - after) == 1, "one was killed"
    until(lambda: ready(place, whole) == 3, "all pods are ready again")
    assert place.marked() == []
    audit = log(place, pods(place, whole)[0]["metadata"]["name"])
    assert '"path": "/products"' in audit, "the accesses are its log"


def ready(space: Space, label: str) -> int:
    conditions = [pod["status"].get("conditions") or () for pod in pods(space, label)]
    return sum(
        any(each["type"] == "Ready" and each["status"] == "True" for each in has) for has in conditions
    )


def ended(space: Space, label: str) -> int | None:
    """The code that the only container of the only pod ended with; None: it runs, or is not there yet."""
    for pod in pods(space, label):
        for status in pod["status"].get("containerStatuses") or ():
            if over := status["state"].get("terminated"):
                return int(over["exitCode"])
    return None
