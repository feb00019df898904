"""Every fault on HTTP messages and on links: felt by a plain client, proved, and gone afterwards."""

from __future__ import annotations

import http.client
import http.server
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.ports import free_port
from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.registry import Backends
from chaos_locust.errors import BackendError
from chaos_locust.plan.model import Plan
from tests.certificates import Authority
from tests.crash import cells_http, cells_network
from tests.crash.cells_http import BODY, Client, healthy, web_server

from .conftest import Load, ProxyServer, until

CELLS = {**cells_http.CELLS, **cells_network.CELLS}


class Rig:
    """One fault on one target, done as the guardian does it."""

    def __init__(
        self, target: dict[str, Any], fault: dict[str, Any], run_id: str = "r1", **plan: Any
    ) -> None:
        timed = {"name": "it", "target": "web", "at": "1s", "for": "30s"} | fault
        document = {"name": "p", "targets": {timed["target"]: target}, "faults": [timed], **plan}
        self.plan = Plan.from_json(document)
        self.fault = self.plan.faults[0]
        self.target = self.plan.targets[self.fault.target]
        self.run_id, self.backend = run_id, Backends().named(self.fault.family)
        self.before: list[Reading] = []
        self.during: list[Reading] = []

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.backend.preflight(self.plan, self.fault, self.target)]

    def inject(self) -> None:
        self.undo = self.backend.prepare(self.run_id, self.plan, self.fault, self.target)
        self.before = [self.backend.observe(self.fault, self.undo) for _ in range(2)]
        self.backend.inject(self.fault, self.undo)

    def effect(self) -> Effect:
        self.during.append(self.backend.observe(self.fault, self.undo))
        return self.backend.effect(self.fault, self.before, self.during)

    def revert(self) -> None:
        """Twice, by somebody who has the undo alone: the second time must do no harm."""
        other = Backends().named(self.undo["backend"])
        for _ in range(2):
            other.revert(self.undo)
            assert other.verify(self.undo)


@pytest.mark.parametrize("kind", CELLS)
def test_a_fault_is_felt_and_goes(kind: str) -> None:
    with CELLS[kind]() as case:
        (target,) = case.targets.values()
        rig = Rig(target, case.fault, **case.plan)
        assert rig.problems() == []
        assert case.left() == ""
        assert not case.acting()
        rig.inject()
        if rig.fault.changes:
            rig.backend.adjust(rig.fault, rig.undo, 0.0)
        assert case.acting()
        assert case.left() != ""
        assert not rig.backend.verify(rig.undo)
        if rig.fault.family == "http":
            effect = rig.effect()
            assert (effect.mechanism, effect.use) == (True, True), effect
        rig.revert()
        assert case.left() == ""
        assert not case.acting()


@contextmanager
def http_rig(embedded: ProxyServer, **fault: Any) -> Iterator[tuple[Rig, Client]]:
    with web_server() as upstream:
        client = Client(embedded.make("web", upstream))
        rig = Rig({"proxy": "web"}, fault, proxy_api=embedded.url)
        assert rig.problems() == []
        try:
            yield rig, client
        finally:
            client.close()


def test_use_is_the_exact_number_of_requests_that_matched(embedded: ProxyServer) -> None:
    with http_rig(embedded, kind="http_status", status=500, route="/chunked*", method="GET") as (rig, client):
        for _ in range(3):
            assert healthy(client.get("/chunked"))
        rig.inject()
        effect = rig.effect()
        assert (effect.mechanism, effect.use) == (None, False), effect
        for _ in range(4):
            assert healthy(client.get("/other"))
        effect = rig.effect()
        assert (effect.mechanism, effect.use) == (None, False), effect
        assert "0 of 4 requests of the load matched GET /chunked*" in effect.detail
        for _ in range(5):
            assert client.get("/chunked?x=1")[0] == 500
        effect = rig.effect()
        assert (effect.mechanism, effect.use) == (True, True), effect
        assert "done to 5 of 5 requests, 5 of 9 requests of the load matched" in effect.detail
        rig.revert()
        assert healthy(client.get("/chunked"))


def test_a_fault_that_had_nothing_to_act_upon_is_not_proved(embedded: ProxyServer) -> None:
    with http_rig(embedded, kind="http_truncate", bytes="1MB") as (rig, client):
        rig.inject()
        assert healthy(client.get())
        effect = rig.effect()
        assert (effect.mechanism, effect.use) == (False, True), effect
        rig.revert()


def test_hellos_of_faults_on_the_link_are_no_load(embedded: ProxyServer) -> None:
    with http_rig(embedded, kind="http_status", status=500) as (rig, _):
        latency = {"kind": "latency", "name": "slow", "latency": "10ms"}
        other = Rig({"proxy": "web"}, latency, proxy_api=embedded.url)
        rig.inject()
        other.inject()
        effects = [other.effect() for _ in range(3)]
        assert "on the link" in effects[-1].detail, "it was measured"
        assert rig.effect().use is False
        assert rig.during[-1]["listed"]["counts"]["own"] >= 3
        rig.revert()
        other.revert()


def test_a_toxic_that_somebody_took_off_is_noticed(embedded: ProxyServer) -> None:
    with http_rig(embedded, kind="http_status", status=500) as (rig, client):
        rig.inject()
        assert client.get()[0] == 500
        assert rig.effect().mechanism is True
        embedded.ask("POST", "/reset")
        effect = rig.effect()
        assert (effect.mechanism, effect.use) == (False, True), effect
        assert "took it off" in effect.detail
        rig.revert()


def test_what_is_no_http_is_told(embedded: ProxyServer) -> None:
    with http_rig(embedded, kind="http_delay", delay="10ms") as (rig, client):
        rig.inject()
        raw = http.client.HTTPConnection("127.0.0.1", client._connection.port, timeout=10)
        raw.connect()
        raw.sock.sendall(b"\x16\x03\x01\x00\x05hello")
        until(lambda: rig.effect().use is None, "it is told")
        assert "carried no HTTP that can be read" in rig.effect().detail
        raw.close()
        rig.revert()


def test_the_proxy_itself_ends_it_when_everything_of_ours_is_dead(embedded: ProxyServer) -> None:
    with http_rig(embedded, kind="http_status", status=500, **{"for": "10s"}) as (rig, client):
        rig.inject()
        assert rig.undo["toxics"][0]["attributes"]["expires_ms"] == 25_000
        rig.revert()
        rig.undo["toxics"][0]["attributes"]["expires_ms"] = 500
        begin_s = time.monotonic()
        rig.backend.inject(rig.fault, rig.undo)
        assert client.get()[0] == 500
        until(lambda: healthy(client.get()), "nobody took it off, and it is gone")
        assert time.monotonic() - begin_s >= 0.5
        assert rig.backend.verify(rig.undo)
        rig.revert()


def test_a_scan_finds_it_without_a_lease(embedded: ProxyServer) -> None:
    with http_rig(embedded, kind="http_body", body="x") as (rig, client):
        rig.inject()
        backend = Backends().named("http")
        assert backend.scan("") == []
        (found,) = backend.scan(embedded.url)
        assert found["mark"] == rig.undo["mark"] == "chaos-r1-it-http"
        assert "chaos-r1-it-http" in backend.describe(found)
        backend.revert(found)
        assert backend.verify(rig.undo)
        assert healthy(client.get())


def test_a_proxy_that_is_gone_is_clean_and_a_server_that_is_gone_is_unknown(embedded: ProxyServer) -> None:
    with http_rig(embedded, kind="http_delay", delay="1s") as (rig, _):
        rig.inject()
        embedded.ask("DELETE", "/proxies/web")
        rig.revert()
        embedded.kill()
        with pytest.raises(BackendError, match=r"does not answer.*cannot verify that toxic chaos-r1-it-http"):
            rig.backend.revert(rig.undo)
        assert rig.effect().mechanism is None


def test_toxiproxy_itself_cannot_do_it(proxy: ProxyServer, upstream: int) -> None:
    proxy.make("web", upstream)
    rig = Rig({"proxy": "web"}, {"kind": "http_status", "status": 500}, proxy_api=proxy.url)
    if proxy.kind == "embedded":
        assert rig.problems() == []
    else:
        (told,) = rig.problems()
        assert told.startswith("proxy_api: ")
        assert "is a Toxiproxy, which has no faults on HTTP messages" in told
        assert "chaos-locust proxy -proxy-metrics" in told


def test_preflight_of_a_dead_api_and_of_another_program(upstream: int) -> None:
    fault = {"kind": "http_status", "status": 500}
    (dead,) = Rig({"proxy": "web"}, fault, proxy_api=f"http://127.0.0.1:{free_port()}").problems()
    assert "connection refused" in dead
    (other,) = Rig({"proxy": "web"}, fault, proxy_api=f"http://127.0.0.1:{upstream}").problems()
    assert "is no Toxiproxy" in other


# --- TLS


@contextmanager
def https_server(authority: Authority) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), cells_http.Handler)
    server.daemon_threads = True
    server.socket = authority.server_context("localhost").wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def https_get(port: int, context: ssl.SSLContext) -> int:
    client = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
    try:
        client.request("GET", "/")
        reply = client.getresponse()
        assert reply.status != 200 or reply.read() == BODY
        return reply.status
    finally:
        client.close()


def test_an_https_target_is_faulted_through_a_proxy_that_is_made(
    embedded: ProxyServer, tmp_path: Path, load: Callable[..., Load]
) -> None:
    authority, listen = Authority(tmp_path), free_port()
    certificate, key = authority.issue("localhost")
    with https_server(authority) as port:
        target = {
            "upstream": f"localhost:{port}",
            "listen": f"127.0.0.1:{listen}",
            "tls": {"certificate": certificate, "key": key, "upstream_ca": authority.certificate},
        }
        rig = Rig(target, {"kind": "http_status", "status": 418}, proxy_api=embedded.url)
        assert rig.problems() == []
        made = rig.backend.open(rig.run_id, rig.plan, rig.target)
        assert made is not None
        assert not rig.backend.scan(embedded.url)
        for _ in range(2):  # another family may have made it already
            rig.backend.build(made, rig.target)
        context = authority.client_context()
        assert https_get(listen, context) == 200
        rig.inject()
        assert https_get(listen, context) == 418
        effect = rig.effect()
        assert (effect.mechanism, effect.use) == (True, True), effect
        rig.revert()
        assert https_get(listen, context) == 200
        assert key not in str(embedded.ask("GET", "/proxies"))
        assert not rig.backend.verify(made)
        for _ in range(2):
            rig.backend.revert(made)
        assert rig.backend.verify(made)
        assert embedded.ask("GET", "/proxies") == {}
        Path(key).unlink()
        (told,) = rig.problems()
        assert told == f"targets.web.tls.key: there is no file {key}"


def test_toxiproxy_itself_speaks_no_tls(proxy: ProxyServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost")
    target = {
        "upstream": "localhost:9",
        "listen": f"127.0.0.1:{free_port()}",
        "tls": {"certificate": certificate, "key": key},
    }
    rig = Rig(target, {"kind": "http_delay", "delay": "1s"}, proxy_api=proxy.url)
    made = rig.backend.open(rig.run_id, rig.plan, rig.target)
    assert made is not None
    if proxy.kind == "real":
        with pytest.raises(BackendError, match="speaks no TLS"):
            rig.backend.build(made, rig.target)
        assert proxy.ask("GET", "/proxies") == {}, "never a proxy without what was asked for"
