"""A namespace of our own in a real cluster, and one fault in it, done as the guardian does it.

The image `localhost/app:1` has busybox, and serves HTTP at port 8080. What is read here goes past the code
under test, by the official client.
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.registry import Backends
from chaos_locust.faults.registry import KINDS
from chaos_locust.plan.model import Plan

IMAGE = "localhost/app:1"
SCRATCH, SETTINGS = "/scratch", "/settings"
OLD = base64.b64encode(b"\xff old").decode()
"""What the Secret of `Space.configure` holds: no text."""

LABEL = "chaos-locust/mark"
LOOK_EVERY_S = 0.3
PATIENCE_S = 60.0
LIMITS = {"limits": {"cpu": "300m", "memory": "64Mi"}, "requests": {"cpu": "20m"}}

Json = dict[str, Any]


def until(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> None:
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.1)


class Space:
    """A namespace. Names of paths are those of the API."""

    def __init__(self, api: Any, name: str) -> None:
        self.name, self._api = name, api

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> Json:
        """Below /apis or /api; `{ns}` in it is the namespace. Raises ApiException."""
        kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
        found = self._api.call_api(
            *self._api.param_serialize(
                method,
                path.format(ns=f"namespaces/{self.name}"),
                query_params=list(query.items()),
                header_params={"Accept": "application/json", "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
            )
        )
        data = found.read()
        if not 200 <= found.status < 300:
            raise ApiException(status=found.status, reason=data.decode())
        answer: Json = client.ApiClient().deserialize(data.decode(), "object", "application/json")
        return answer

    def pods(self, app: str = "web") -> list[Json]:
        found = self.ask("GET", "/api/v1/{ns}/pods", labelSelector=f"app={app}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, app: str = "web") -> list[Json]:
        return [pod for pod in self.pods(app) if _is_ready(pod)]

    def workload(self, name: str = "web", kind: str = "deployment") -> Json:
        return self.ask("GET", f"/apis/apps/v1/{{ns}}/{kind}s/{name}")

    def is_whole(self, name: str = "web", kind: str = "deployment", replicas: int = 3) -> bool:
        """Its rollout is over, and all its pods are ready."""
        found = self.workload(name, kind)
        status, generation = found["status"], found["metadata"]["generation"]
        counts = [status.get(key, 0) for key in ("replicas", "readyReplicas", "updatedReplicas")]
        seen = status.get("observedGeneration") == generation
        return seen and counts == [replicas] * 3 and len(self.pods(name)) == replicas

    def apply(self, kind: str, name: str, replicas: int = 3, resources: Json | None = None) -> None:
        """A deployment or stateful set that serves, and returns when it is ready."""
        container = {
            "name": "web",
            "image": IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": 8080}],
            "readinessProbe": {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1},
            "resources": LIMITS if resources is None else resources,
            "volumeMounts": [
                {"name": "scratch", "mountPath": SCRATCH},
                {"name": "settings", "mountPath": SETTINGS},
            ],
        }
        volumes = [
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
            {"name": "settings", "configMap": {"name": "settings", "optional": True}},
        ]
        pod = {"terminationGracePeriodSeconds": 1, "containers": [container], "volumes": volumes}
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        }
        spec |= {"serviceName": name} if kind == "statefulset" else {}
        body = {"apiVersion": "apps/v1", "kind": kind.capitalize().replace("set", "Set")}
        self.ask("POST", f"/apis/apps/v1/{{ns}}/{kind}s", {**body, "metadata": {"name": name}, "spec": spec})
        until(lambda: self.is_whole(name, kind, replicas), f"{name} is ready")

    def service(self, name: str = "web", app: str = "web") -> str:
        """The URL at which a node passes on to it."""
        spec = {"type": "NodePort", "selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}]}
        made = self.ask("POST", "/api/v1/{ns}/services", {"metadata": {"name": name}, "spec": spec})
        (node, *_) = self.ask("GET", "/api/v1/nodes")["items"]
        addresses = {each["type"]: each["address"] for each in node["status"]["addresses"]}
        return f"http://{addresses['InternalIP']}:{made['spec']['ports'][0]['nodePort']}"

    def configure(self) -> None:
        """The ConfigMap `settings`, which the pods of `apply` mount, and the Secret `password`."""
        data = {"limit": "100", "other": "same"}
        self.ask("POST", "/api/v1/{ns}/configmaps", {"metadata": {"name": "settings"}, "data": data})
        secret = {"word": OLD, "other": base64.b64encode(b"same").decode()}
        self.ask("POST", "/api/v1/{ns}/secrets", {"metadata": {"name": "password"}, "data": secret})

    def ours_inside(self, app: str = "web") -> list[str]:
        """The pods that run processes with our variable in their environment, seen from within."""
        all_of_it = "for p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/environ; done 2>/dev/null"
        found = []
        for pod in self.pods(app):
            with contextlib.suppress(ApiException):
                if self.run(pod["metadata"]["name"], f"{all_of_it} | grep ^CHAOS_LOCUST="):
                    found.append(pod["metadata"]["name"])
        return found

    def run(self, pod: str, script: str) -> str:
        """What a shell in the pod writes. Raises ApiException."""
        core = client.CoreV1Api(client.ApiClient(self._api.configuration))  # stream() spoils its client
        call: Any = stream  # has no types
        return str(
            call(
                core.connect_get_namespaced_pod_exec, pod, self.name, command=["sh", "-c", script],
                stdout=True, stderr=False, _request_timeout=10,
            )
        )  # fmt: skip

    def marked(self) -> list[str]:
        """Everything that carries our label: of the namespace, and nodes."""
        parts = ("pods", "services", "configmaps", "secrets")
        paths = [f"/api/v1/{{ns}}/{part}" for part in parts] + ["/api/v1/nodes"]
        paths += [f"/apis/apps/v1/{{ns}}/{part}" for part in ("deployments", "statefulsets", "replicasets")]
        paths += ["/apis/batch/v1/{ns}/jobs", "/apis/networking.k8s.io/v1/{ns}/networkpolicies"]
        found = []
        for path in paths:
            for each in self.ask("GET", path, labelSelector=LABEL)["items"]:
                if "deletionTimestamp" not in each["metadata"]:
                    found.append(f"{path.rpartition('/')[2]} {each['metadata']['name']}")
        return found


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def admin() -> Any:
    """A client of the cluster that KUBECONFIG names."""
    config.load_kube_config()  # type: ignore[no-untyped-call]
    return client.ApiClient()


@contextlib.contextmanager
def namespace(api: Any) -> Iterator[Space]:
    space = Space(api, f"chaos-test-{uuid4().hex[:8]}")
    space.ask("POST", "/api/v1/namespaces", {"metadata": {"name": space.name}})
    try:
        # pods need the account, which comes a moment after its namespace
        until(lambda: _is_there(space, "/api/v1/{ns}/serviceaccounts/default"), "the namespace is ready")
        yield space
    finally:
        space.ask("DELETE", "/api/v1/{ns}")
        until(lambda: not _is_there(space, "/api/v1/{ns}"), "the namespace is gone", 120)


def _is_there(space: Space, path: str) -> bool:
    try:
        space.ask("GET", path)
    except ApiException as error:
        if error.status != 404:
            raise
        return False
    return True


PARAMETERS: Mapping[str, Json] = {
    "pod_scale": {"replicas": 1},
    "pod_cpu": {"cpus": 0.1},
    "pod_partition": {"port": 8080, "image": IMAGE},
    "config_change": {"config_map": "settings", "set": {"limit": "1"}, "mounted_at": f"{SETTINGS}/limit"},
    "pod_memory_pressure": {"size": "20MiB"},
    "pod_disk_full": {"path": SCRATCH, "size": "20MiB", "leave": "1MB"},
}


class Rig:
    """One fault in a space, by default on its deployment `web`."""

    def __init__(
        self,
        space: Space,
        kind: str,
        target: Json | None = None,
        run_id: str = "r1",
        kubernetes: Json | None = None,
        **parameters: Any,
    ) -> None:
        lasting = {} if KINDS[kind].instant else {"for": "30s"}
        fault = {"name": "it", "kind": kind, "target": "web", "at": "1s", **lasting}
        fault |= PARAMETERS.get(kind, {}) | parameters
        found = target or {"namespace": space.name, "deployment": "web", "service": "web"}
        self.document: Json = {
            "name": "p",
            "host": f"http://web.{space.name}",
            "kubernetes": {"namespaces": [space.name], "nodes": True, **(kubernetes or {})},
            "targets": {"web": {"kubernetes": found}},
            "faults": [fault],
        }
        self.plan = Plan.from_json(self.document)
        self.fault, self.target = self.plan.faults[0], self.plan.targets["web"]
        self.backend = Backends().named("kubernetes")
        self.run_id, self.space = run_id, space
        self.before: list[Reading] = []
        self.during: list[Reading] = []
        self._made: Json | None = None

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.backend.preflight(self.plan, self.fault, self.target)]

    def open(self) -> None:
        """What has to be there before the load."""
        self._made = self.backend.open(self.run_id, self.plan, self.target)
        if self._made is not None:
            self.backend.build(self._made, self.target)

    def look_before(self, enough: Callable[[list[Reading]], bool] = lambda found: len(found) > 1) -> None:
        self.undo = self.backend.prepare(self.run_id, self.plan, self.fault, self.target)

        def looked() -> bool:
            self.before.append(self.backend.observe(self.fault, self.undo))
            return enough(self.before)

        until(looked, "what was before is seen")

    def inject(self) -> None:
        self.undo = self.backend.prepare(self.run_id, self.plan, self.fault, self.target)
        self.backend.inject(self.fault, self.undo)

    def effect(self, looks: int = 1) -> Effect:
        for _ in range(looks):
            self.during.append(self.backend.observe(self.fault, self.undo))
            time.sleep(LOOK_EVERY_S)
        return self.backend.effect(self.fault, self.before, self.during)

    def acts(self) -> bool:
        effect = self.effect()
        return effect.mechanism is True and effect.use is True

    def scan(self) -> list[Json]:
        """What the backend finds of it by its mark, in the namespace and of the nodes."""
        ours = f"chaos-{self.run_id}-"
        return [each for each in self.backend.scan("kubernetes://") if each["mark"].startswith(ours)]

    def revert(self) -> None:
        """Twice: the second time must do no harm."""
        for _ in range(2):
            self.backend.revert(self.undo)
            assert self.backend.verify(self.undo)

    def close(self) -> None:
        if self._made is not None:
            self.backend.revert(self._made)
            assert self.backend.verify(self._made)


def connected(found: list[Reading]) -> bool:
    """A partition's own pod has connected so often that it can be told when it no longer does."""
    return sum(sum(reading["connects"]) for reading in found) >= 3
