"""The client of the Kubernetes API: pages, time-outs, and what the server refuses, in one line."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chaos_locust.backends.kubernetes import api as kubernetes_api
from chaos_locust.backends.kubernetes.api import PODS, Kubernetes, Refused
from chaos_locust.backends.kubernetes.reach import NoCluster
from chaos_locust.errors import BackendError
from chaos_locust.plan.cluster import Cluster
from tests.certificates import Authority
from tests.servers.kubernetes_api import Answer, FakeApi, kubeconfig, pod, refusal, served


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def config(api: FakeApi, tmp_path: Path) -> Iterator[str]:
    with served(api, tmp_path) as path:
        yield path


@pytest.fixture
def cluster(config: str) -> Kubernetes:
    return Kubernetes(Cluster(kubeconfig=config))


def test_a_list_is_read_to_its_last_page(api: FakeApi, cluster: Kubernetes) -> None:
    names = [f"web-{number}" for number in range(7)]
    for name in names:
        api.add("pods", pod(name))
    api.page = 3
    assert [each["metadata"]["name"] for each in cluster.all_of(PODS, "shop", "app=web")] == names
    assert len(api.calls) == 3
    assert cluster.all_of(PODS, "shop", "app=other") == []
    assert cluster.all_of(PODS, "elsewhere") == []
    assert len(cluster.all_of(PODS)) == 7


def test_a_list_that_went_out_of_date_is_begun_again(api: FakeApi, cluster: Kubernetes) -> None:
    for number in range(4):
        api.add("pods", pod(f"web-{number}"))
    api.page, gone = 3, [refusal(410, "The provided continue parameter is too old")]
    api.trouble = lambda method, path, query: gone.pop() if "continue" in query and gone else None
    assert len(cluster.all_of(PODS)) == 4
    api.trouble = lambda method, path, query: refusal(410, "too old") if "continue" in query else None
    with pytest.raises(BackendError, match="the list of pods goes out of date while it is read"):
        cluster.all_of(PODS)


def test_a_busy_server_is_asked_again_after_the_pause_it_names(api: FakeApi, cluster: Kubernetes) -> None:
    api.add("pods", pod("web-1"))
    busy = [refusal(429, "too many requests", Retry_After="0")] * 2
    api.trouble = lambda method, path, query: busy.pop() if busy else None
    assert len(cluster.all_of(PODS)) == 1
    busy = [refusal(429, "too many requests", Retry_After="0")] * 3
    with pytest.raises(Refused, match=r"too many requests \(429\)"):
        cluster.all_of(PODS)
    for pause in ("60", "soon"):
        busy = [refusal(429, "too many requests", Retry_After=pause)]
        with pytest.raises(Refused, match=r"\(429\)"):
            cluster.all_of(PODS)


def test_an_eviction_that_a_budget_refuses_is_not_tried_again(api: FakeApi, cluster: Kubernetes) -> None:
    made = api.add("pods", pod("web-1"))
    api.budget = 0
    with pytest.raises(Refused, match=r"disruption budget\. \(429\)"):
        cluster.evict("shop", "web-1", made["metadata"]["uid"])
    assert len(api.calls) == 1
    api.budget = 1
    cluster.evict("shop", "web-1", made["metadata"]["uid"])
    assert api.objects == {}


@pytest.mark.parametrize("status", [404, 409])
def test_what_is_gone_already_is_deleted(api: FakeApi, cluster: Kubernetes, status: int) -> None:
    api.trouble = lambda method, path, query: refusal(status, "gone")
    cluster.delete(PODS, "shop", "web-1", "uid-1", 0)


def test_another_pod_of_the_same_name_is_left_alone(api: FakeApi, cluster: Kubernetes) -> None:
    api.add("pods", pod("web-0"))
    cluster.delete(PODS, "shop", "web-0", uid="of-the-one-before")
    assert len(api.objects) == 1
    cluster.delete(PODS, "shop", "web-0", dry=True)
    assert len(api.objects) == 1
    cluster.delete(PODS, "shop", "web-0")
    assert api.objects == {}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            refusal(401, "Unauthorized"),
            "it does not know us (401); the credentials of the kubeconfig",
        ),
        (refusal(403, 'pods is forbidden: User "u"'), 'pods is forbidden: User "u" (403)'),
        (refusal(404, 'pods "web-1" not found'), 'pods "web-1" not found (404)'),
        (refusal(409, "the object has been modified"), "the object has been modified (409)"),
        (Answer(500, b"<html>"), "no reason is given (500)"),
        (Answer(502, [1]), "no reason is given (502)"),
        (Answer(200, b"<html>welcome"), "is no Kubernetes API: GET /api/v1/namespaces/shop/pods/web-1 gives"),
        (Answer(200, [1]), "is no Kubernetes API"),
        (Answer(200, {"kind": "Pod"}, cut=5), "breaks off: "),
        (Answer(0), "does not answer: "),
    ],
)
def test_what_the_server_answers_is_one_line(
    api: FakeApi, cluster: Kubernetes, answer: Answer, words: str
) -> None:
    api.trouble = lambda method, path, query: answer
    with pytest.raises(BackendError) as told:
        cluster.get(PODS, "shop", "web-1")
    assert words in str(told.value)
    assert len(str(told.value).splitlines()) == 1


def test_a_server_that_is_slow_is_not_waited_for(
    api: FakeApi, cluster: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    api.trouble = lambda method, path, query: Answer(200, {}, wait=over)
    monkeypatch.setattr(kubernetes_api, "ANSWER_S", (0.1, 0.1))
    try:
        with pytest.raises(BackendError, match="does not answer: timed out"):
            cluster.get(PODS, "shop", "web-1")
    finally:
        over.set()


def test_nobody_listens(tmp_path: Path) -> None:
    path = tmp_path / "closed"
    path.write_text(yaml.safe_dump(kubeconfig("http://127.0.0.1:1")))
    with pytest.raises(BackendError, match=r"127\.0\.0\.1:1 does not answer: connection refused"):
        Kubernetes(Cluster(kubeconfig=str(path))).all_of(PODS)


def test_a_certificate_that_is_not_accepted(tmp_path: Path) -> None:
    """The client tells of it by an error of its own."""
    certificates = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.issue("127.0.0.1"))
    other = tmp_path / "other"
    other.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=shake_hands, args=(server, context))
        thread.start()
        config = kubeconfig(f"https://127.0.0.1:{server.getsockname()[1]}")
        config["clusters"][0]["cluster"]["certificate-authority"] = Authority(other).certificate
        path = tmp_path / "strange"
        path.write_text(yaml.safe_dump(config))
        with pytest.raises(BackendError, match="does not answer: its certificate, or ours, is not accepted"):
            Kubernetes(Cluster(kubeconfig=str(path))).all_of(PODS)
        thread.join()


def shake_hands(server: socket.socket, context: ssl.SSLContext) -> None:
    client, _ = server.accept()
    with client, contextlib.suppress(OSError):
        context.wrap_socket(client, server_side=True)


@pytest.mark.parametrize(
    ("text", "context"),
    [
        (None, None),
        ("", None),
        ("a: b: c", None),
        ("[1]", None),
        ("{clusters: []}", None),
        (yaml.safe_dump(kubeconfig("http://x")), "nowhere"),
        (yaml.safe_dump(kubeconfig("http://x") | {"clusters": []}), None),
        (yaml.safe_dump(kubeconfig("http://x") | {"current-context": ""}), None),
    ],
)
def test_no_kubeconfig_or_a_wrong_one(tmp_path: Path, text: str | None, context: str | None) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(NoCluster, match=f"no cluster is known from {path}: ") as told:
        Kubernetes(Cluster(kubeconfig=str(path), context=context))
    assert len(str(told.value).splitlines()) == 1


def test_it_tells_how_to_come_back(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever kubeconfig and context are the current ones by then."""
    known = {"kubeconfig": config, "context": "fake"}
    assert Kubernetes(Cluster(kubeconfig=config)).place == known
    monkeypatch.setenv("KUBECONFIG", config)
    assert Kubernetes(Cluster()).place == known
    folder, name = config.rsplit("/", 1)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KUBECONFIG", name)
    assert Kubernetes(Cluster()).place == known


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(BackendError, match=r"pip install 'chaos-locust\[kubernetes\]'"):
        Kubernetes(Cluster())


def test_rights_are_asked_for(api: FakeApi, cluster: Kubernetes) -> None:
    api.denied = {("patch", "pods/resize")}
    assert cluster.may("patch", "", "pods", "shop")
    assert not cluster.may("patch", "", "pods/resize", "shop")
    assert cluster.may("patch", "", "nodes", None)
