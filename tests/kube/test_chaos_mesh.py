"""Faults by Chaos Mesh: what its real definitions take, and what its real controller does and undoes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from chaos_locust.backends.registry import Backends
from chaos_locust.errors import BackendError
from tests.servers.kubernetes_rig import IMAGE, LABEL, PATIENCE_S, Rig, Space, until

Json = dict[str, Any]
GROUP = "/apis/chaos-mesh.org/v1alpha1"
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
WEB: Json = {"mode": "one", "selector": {"labelSelectors": {"app": "web"}}}
KILL: Json = {"action": "pod-kill", **WEB}
LOST: Json = {"annotationSelectors": {"no": "such"}}


def manifest(kind: str = "PodChaos", **spec: Any) -> Json:
    return {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": kind, "metadata": {"name": "mine"}, "spec": spec}


def schedule(every: str, **inner: Any) -> Json:
    return manifest("Schedule", schedule=f"@every {every}", type="PodChaos", podChaos=inner)


def rig_of(space: Space, kind: str = "chaos_mesh", **parameters: Any) -> Rig:
    rig = Rig(space, kind, run_id=f"mesh-{space.name}", **parameters)
    rig.backend = Backends().named("chaos_mesh")
    return rig


def objects(space: Space, plural: str) -> list[Json]:
    return list(space.ask("GET", f"{GROUP}/{{ns}}/{plural}")["items"])


def left(space: Space) -> list[str]:
    """Experiments, whoever made them, and jobs of ours."""
    found = [f"{plural} {each['metadata']['name']}" for plural in PLURALS for each in objects(space, plural)]
    jobs = space.ask("GET", "/apis/batch/v1/{ns}/jobs", labelSelector=LABEL)["items"]
    return found + [f"jobs {each['metadata']['name']}" for each in jobs]


def images(space: Space) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in space.pods()}


def only(space: Space) -> Json:
    (found,) = objects(space, "podchaos")
    return found


@pytest.fixture(scope="module")
def mesh(space: Space) -> Space:
    """Where the definitions are known."""
    try:
        space.ask("GET", GROUP)
    except ApiException:
        pytest.skip("needs Chaos Mesh: the cluster does not know chaos-mesh.org")
    return space


@pytest.fixture(scope="module")
def controlled(mesh: Space) -> Space:
    """Where somebody looks after experiments."""
    body = {**manifest(**{**KILL, "selector": LOST}), "metadata": {"name": "who"}}
    mesh.ask("POST", f"{GROUP}/{{ns}}/podchaos", body)

    def looked_after() -> bool:
        return bool((only(mesh).get("status") or {}).get("conditions"))

    try:
        until(looked_after, "", 15)
    except AssertionError:
        pytest.skip("needs Chaos Mesh: its controller does not run")
    finally:
        mesh.ask("DELETE", f"{GROUP}/{{ns}}/podchaos/who")
        until(lambda: not objects(mesh, "podchaos"), "the question is gone")
    return mesh


@pytest.fixture
def whole(controlled: Space) -> Iterator[Space]:
    until(controlled.is_whole, "all pods are ready")
    yield controlled
    assert left(controlled) == []
    until(controlled.is_whole, "all pods are ready again")
    assert images(controlled) == {IMAGE}


# -- what the definitions take ------------------------------------------------------------------------------

MANIFESTS = [
    manifest(**KILL),
    manifest(
        action="pod-failure", duration="99h", mode="fixed-percent", value="50", selector=WEB["selector"]
    ),
    manifest(action="container-kill", containerNames=["web"], **WEB),
    manifest("NetworkChaos", action="delay", delay={"latency": "10ms", "jitter": "1ms"}, **WEB),
    manifest("NetworkChaos", action="partition", direction="both", target={**WEB}, **WEB),
    manifest(
        "StressChaos", stressors={"cpu": {"workers": 1}, "memory": {"workers": 1, "size": "8MB"}}, **WEB
    ),
    manifest("IOChaos", action="attrOverride", volumePath="/tmp", attr={"perm": 72}, **WEB),
    manifest("TimeChaos", timeOffset="-10m100ns", **WEB),
    manifest("DNSChaos", action="random", patterns=["google.com"], **WEB),
    manifest("HTTPChaos", target="Request", port=8080, method="GET", path="/", abort=True, **WEB),
    schedule("5s", **KILL),
    manifest(**KILL, scheduler={"cron": "@every 5s"}),
]
WORDS: list[tuple[str, Json]] = [
    ("mesh_pod_failure", {"count": "50%"}),
    ("mesh_network", {"latency": "10ms", "jitter": "1ms", "correlation": "25%", "loss": "1.5%"}),
    ("mesh_network", {"duplicate": "5%"}),
    ("mesh_network", {"corrupt": "5%"}),
    ("mesh_network", {"rate": "1MB/s"}),
    ("mesh_network", {"partition": True, "to": "web"}),
    ("mesh_stress", {"cpu": 1, "load": "80%", "memory": "8MB"}),
    ("mesh_io", {"volume": "/tmp", "error": "EIO", "share": "50%"}),
    ("mesh_io", {"volume": "/tmp", "path": "/tmp/*", "latency": "10ms"}),
    ("mesh_time", {"offset": "-1h"}),
    ("mesh_dns", {"names": ["db.*"]}),
    ("mesh_http", {"port": 8080, "status": 503}),
    ("mesh_http", {"port": 8080, "latency": "1s"}),
]


@pytest.mark.parametrize("given", MANIFESTS, ids=lambda each: f"{each['kind']}-{each['spec'].get('action')}")
def test_every_kind_of_experiment_is_accepted(mesh: Space, given: Json) -> None:
    assert rig_of(mesh, manifest=given, image=IMAGE).problems() == []
    assert left(mesh) == []


@pytest.mark.parametrize(("kind", "parameters"), WORDS)
def test_our_words_are_accepted(mesh: Space, kind: str, parameters: Json) -> None:
    assert rig_of(mesh, kind, **parameters).problems() == []
    assert left(mesh) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (manifest(**KILL, speed=9), 'unknown field "spec.speed"'),
        (manifest(**{**KILL, "action": "pod-smash"}), 'Unsupported value: "pod-smash"'),
        (manifest(**{**KILL, "selector": {"labelSelectors": {"app": "db"}}}), "matches no pod now"),
        (manifest(**{**KILL, "selector": {"namespaces": ["kube-system"]}}), "belongs to Kubernetes itself"),
        (manifest(**{**KILL, "selector": {"namespaces": ["default"]}}), "default is not allowed"),
        (schedule("600s", **KILL), "it would do nothing"),
    ],
)
def test_what_is_refused_before_the_load(mesh: Space, given: Json, told: str) -> None:
    (problem,) = rig_of(mesh, manifest=given, image=IMAGE).problems()
    assert told in problem
    assert "\n" not in problem


def test_pods_of_another_workload_are_not_those_of_the_target(mesh: Space) -> None:
    mesh.apply("deployment", "other", replicas=1)
    given = manifest(**{**KILL, "selector": {"labelSelectors": {"app": "other"}}})
    (problem,) = rig_of(mesh, manifest=given).problems()
    assert "matches 1 pods, none of which is of deployment web" in problem
    mesh.ask("DELETE", "/apis/apps/v1/{ns}/deployments/other")
    until(lambda: not mesh.pods("other"), "it is gone")


def test_the_role_that_is_printed_suffices(mesh: Space, api: Any, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(kubeconfig_of(mesh, api, "little")))
    settings = {"kubeconfig": str(file)}
    given = manifest("NetworkChaos", action="partition", **WEB)
    rig = rig_of(mesh, manifest=given, kubernetes=settings)
    missing, whole = rig.problems()
    assert "may not create networkchaos.chaos-mesh.org" in missing
    role = yaml.safe_load(whole.partition("bound to its user:")[2])
    mesh.ask("POST", "/apis/rbac.authorization.k8s.io/v1/{ns}/roles", role)
    binding = {
        "metadata": {"name": "little"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": role["metadata"]["name"],
        },
        "subjects": [{"kind": "ServiceAccount", "name": "little", "namespace": mesh.name}],
    }
    mesh.ask("POST", "/apis/rbac.authorization.k8s.io/v1/{ns}/rolebindings", binding)
    until(lambda: rig_of(mesh, manifest=given, kubernetes=settings).problems() == [], "it may do all of it")


def kubeconfig_of(space: Space, api: Any, name: str) -> Json:
    """Of a service account without any rights."""
    space.ask("POST", "/api/v1/{ns}/serviceaccounts", {"metadata": {"name": name}})
    token = space.ask("POST", f"/api/v1/{{ns}}/serviceaccounts/{name}/token", {"spec": {}})["status"]["token"]
    cluster = {"server": api.configuration.host, "certificate-authority": api.configuration.ssl_ca_cert}
    return {
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }


# -- what the controller does -------------------------------------------------------------------------------


def test_pods_fail_and_work_again(whole: Space) -> None:
    rig = rig_of(whole, "mesh_pod_failure", count="2")
    assert rig.problems() == []
    rig.look_before()
    assert rig.backend.effect(rig.fault, rig.before, rig.before).mechanism is False
    rig.inject()
    drawn = {pod["name"] for pod in rig.undo["victims"]}
    records = only(whole)["status"]["experiment"]["containerRecords"]
    assert {each["id"].rpartition("/")[2] for each in records} == drawn
    until(lambda: len(whole.ready()) == 1, "two pods are not ready")
    until(rig.acts, f"its effect is seen; last: {rig.during[-1:]}")
    injected_at = records[0]["events"][-1]["timestamp"]
    assert f"all 2 records are Injected (at {injected_at[:-4]}" in rig.effect().detail
    assert not rig.backend.verify(rig.undo)
    (found,) = rig.scan()
    rig.backend.revert(found)
    assert rig.backend.verify(found)
    assert rig.scan() == []
    rig.revert()


def test_an_experiment_of_a_user_kills_a_pod(whole: Space, tmp_path: Path) -> None:
    file = tmp_path / "pod-kill.yaml"
    file.write_text(yaml.safe_dump(manifest(**KILL)))
    before = {pod["metadata"]["uid"] for pod in whole.pods()}
    rig = rig_of(whole, file=str(file))
    rig.look_before()
    rig.inject()
    until(rig.acts, f"its effect is seen; last: {rig.during[-1:]}")
    until(lambda: len(before & {pod["metadata"]["uid"] for pod in whole.pods()}) == 2, "one pod is gone")
    rig.revert()


def test_nothing_selected_is_an_error(whole: Space) -> None:
    """Which our side cannot always know beforehand."""
    rig = rig_of(whole, manifest=manifest(**{**KILL, "selector": LOST}))
    assert rig.problems() == []
    with pytest.raises(BackendError, match="did not inject the PodChaos: it selects no pod"):
        rig.inject()
    rig.revert()


def test_what_cannot_be_injected_is_undone_all_the_same(whole: Space) -> None:
    """A kernel without netem, or a cluster without the daemon: the experiment hangs, and so does its end."""
    rig = rig_of(whole, "mesh_network", latency="10ms")
    rig.look_before()
    error = tried(rig)
    if error:
        assert "Chaos Mesh did not inject the NetworkChaos: 1 of 1 are not injected" in error
        assert rig.effect().mechanism is False
    else:
        until(rig.acts, f"its effect is seen; last: {rig.during[-1:]}")
    until(lambda: is_undone(rig), "it is gone")
    for rules in objects(whole, "podnetworkchaos"):
        assert not rules["spec"].get("tcs"), "no rule of ours is tried for ever"


def tried(rig: Rig) -> str:
    try:
        rig.inject()
    except BackendError as error:
        return str(error)
    return ""


def is_undone(rig: Rig) -> bool:
    try:
        rig.backend.revert(rig.undo)
    except BackendError:
        return False
    return rig.backend.verify(rig.undo)


def test_a_schedule_is_there_as_long_as_it_is_told(whole: Space) -> None:
    before = {pod["metadata"]["uid"] for pod in whole.pods()}
    rig = rig_of(whole, manifest=schedule("2s", **KILL), image=IMAGE)
    assert rig.problems() == []
    rig.look_before()
    rig.inject()
    assert rig.effect().mechanism is False
    until(lambda: len(objects(whole, "podchaos")) > 1, "it has made two experiments")
    until(rig.acts, f"its effect is seen; last: {rig.during[-1:]}")
    assert "experiments were injected" in rig.effect().detail
    until(lambda: len(before & {pod["metadata"]["uid"] for pod in whole.pods()}) < 3, "a pod is gone")
    until(lambda: is_undone(rig), "it is gone, with all that it made")
    rig.revert()


def test_the_cluster_ends_it_when_everything_of_ours_is_dead(whole: Space) -> None:
    """An experiment by its duration, a Schedule with a job of ours that ends."""
    failing = rig_of(whole, "mesh_pod_failure", **{"for": "1s"})
    repeated = rig_of(whole, manifest=schedule("5s", **KILL), image=IMAGE, **{"for": "1s"})
    repeated.run_id += "-again"
    failing.look_before()
    failing.inject()
    repeated.inject()
    assert failing.effect().mechanism is True
    until(lambda: images(whole) == {IMAGE}, "the pods work again", PATIENCE_S)
    until(lambda: failing.effect().mechanism is False, "that it ended early is seen", PATIENCE_S)
    assert "though it was injected at" in failing.effect().detail
    until(lambda: not objects(whole, "schedules"), "the Schedule is gone", 2 * PATIENCE_S)
    failing.revert()
    until(lambda: is_undone(repeated), "what it made is gone")
