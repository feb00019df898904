"""What a living guardian does: its promptness, its effects, what it makes for targets."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.ports import free_port

from .conftest import PATIENCE_S, Load, ProxyServer, Run, Victim, accepts, until


def latency(**changes: Any) -> dict[str, Any]:
    return {
        "name": "slow",
        "kind": "latency",
        "target": "web",
        "latency": "200ms",
        "at": "1s",
        "for": "3s",
        **changes,
    }


def plan_with(proxy_api: str, faults: list[dict[str, Any]], **targets: Any) -> dict[str, Any]:
    return {"name": "work", "proxy_api": proxy_api, "targets": targets, "faults": faults}


@pytest.mark.parametrize("pooled", [True, False])
def test_an_effect_with_its_figures(
    proxy: ProxyServer, upstream: int, start_run: Callable[..., Run], load: Callable[..., Load], pooled: bool
) -> None:
    load(proxy.make("web", upstream), pooled)
    run = start_run(plan_with(proxy.url, [latency()], web={"proxy": "web"}))
    run.tell("observe", fault="slow")
    time.sleep(1.2)
    run.tell("inject", fault="slow", lease_s=20)
    first = run.wait("effect", "slow")
    assert (first["mechanism"], first["use"]) == (True, True), first
    felt = re.match(r"\+(\d+) ms", first["detail"])
    assert felt is not None, first
    assert int(felt[1]) >= 190  # a busy machine only ever adds to it
    assert "bytes of the load through it" in first["detail"]
    run.tell("revert", fault="slow")
    run.wait("reverted", "slow")
    finals = [m for m in run.seen if m["event"] == "effect" and m["final"]]
    assert [(m["mechanism"], m["use"]) for m in finals] == [(True, True)]
    lines = [json.loads(line) for line in (run.folder / "guardian.jsonl").read_text().splitlines()]
    assert [line["state"] for line in lines if line["kind"] == "fault"] == [
        "asked",
        "active",
        "revert_asked",
        "reverted",
    ]
    assert all(0 < line["t_s"] < 60 and line["epoch_s"] > 1e9 for line in lines)


def test_a_link_that_nobody_uses_has_no_use(
    proxy: ProxyServer, upstream: int, start_run: Callable[..., Run]
) -> None:
    proxy.make("web", upstream)
    more = {"name": "more", "kind": "slicer", "target": "web", "size": "100B", "direction": "upstream"}
    faults = [latency(), more | {"at": "1s", "for": "3s"}]
    run = start_run(plan_with(proxy.url, faults, web={"proxy": "web"}))
    for name in (
        "slow",
        "more",
    ):  # two, so that the one's hellos could be taken for a use of the other's link
        run.tell("observe", fault=name)
    time.sleep(1.2)
    for name in ("slow", "more"):
        run.tell("inject", fault=name, lease_s=20)
    effect = run.wait("effect", "slow")
    assert (effect["mechanism"], effect["use"]) == (True, False), effect
    assert "no bytes of the load" in effect["detail"]
    assert run.wait("effect", "more")["use"] is False


@pytest.fixture
def deaf() -> Iterator[str]:
    """The URL of an API that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def accept() -> None:
            try:
                while True:
                    kept.append(server.accept())
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def test_a_backend_that_hangs_delays_no_other(
    deaf: str, victim: Victim, start_run: Callable[..., Run]
) -> None:
    faults = [latency(), {"name": "stand", "kind": "pause", "target": "victim", "at": "1s", "for": "3s"}]
    run = start_run(plan_with(deaf, faults, web={"proxy": "web"}, victim={"pidfile": str(victim.pidfile)}))
    for name in ("slow", "stand"):
        run.tell("inject", fault=name, lease_s=10)
    run.wait("active", "stand")
    assert not any(message.get("fault") == "slow" for message in run.seen)
    run.tell("revert", fault="stand")
    run.wait("reverted", "stand")
    assert "does not answer" in run.wait("failed", "slow")["detail"]
    asked = {m["fault"]: m["epoch_s"] for m in run.seen if m["event"] in ("reverted", "failed")}
    assert asked["stand"] < asked["slow"]
    run.tell("close")
    assert run.wait("done")["clean"] is True
    assert run.leases() == []


class _Slow(http.server.BaseHTTPRequestHandler):
    """Passes everything on to `api`, a new toxic only after it was looked for and not found."""

    api: ProxyServer
    looked_for: threading.Event
    given_up: threading.Event

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "POST":
            self.given_up.set()
            assert self.looked_for.wait(PATIENCE_S)
        request = urllib.request.Request(self.api.url + self.path, body or None, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                status, text = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text)
        if self.command == "GET" and self.given_up.is_set() and self.path == "/proxies/web":
            self.looked_for.set()

    do_POST = do_DELETE = do_GET

    def log_message(self, *args: Any) -> None:
        pass


def test_a_request_that_was_given_up_and_comes_late_is_undone(
    proxy: ProxyServer, upstream: int, start_run: Callable[..., Run]
) -> None:
    proxy.make("web", upstream)
    slow = type(
        "Slow", (_Slow,), {"api": proxy, "looked_for": threading.Event(), "given_up": threading.Event()}
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        run = start_run(plan_with(url, [latency()], web={"proxy": "web"}))
        run.tell("inject", fault="slow", lease_s=20)
        run.wait("failed", "slow")
        until(proxy.toxics, "the late request acts")
        until(lambda: not run.leases(), "the guardian looks a second time")
        assert proxy.toxics() == []
        run.tell("close")
        assert run.wait("done")["clean"] is True
        server.shutdown()


def test_a_proxy_is_made_and_removed(
    proxy: ProxyServer, upstream: int, start_run: Callable[..., Run], load: Callable[..., Load]
) -> None:
    port = free_port()
    web = {"upstream": f"127.0.0.1:{upstream}", "listen": f"127.0.0.1:{port}"}
    run = start_run(plan_with(proxy.url, [latency()], web=web))
    assert list(proxy.ask("GET", "/proxies")) == ["chaos-run-0-web"]
    load(port)
    run.tell("inject", fault="slow", lease_s=20)
    run.wait("active", "slow")
    assert len(run.leases()) == 2
    run.tell("close")
    assert run.wait("done")["clean"] is True
    assert proxy.ask("GET", "/proxies") == {}
    assert run.leases() == []

    run = start_run(plan_with(proxy.url, [latency()], web=web))
    assert accepts(port)
    run.kill()
    until(run.guardian_is_gone, "the guardian ends by itself")
    assert proxy.ask("GET", "/proxies") == {}
    assert run.leases() == []


def test_a_ramp_follows_its_time(proxy: ProxyServer, upstream: int, start_run: Callable[..., Run]) -> None:
    proxy.make("web", upstream)
    ramp = {
        "name": "ramp",
        "kind": "gradual_latency",
        "target": "web",
        "latency": "400ms",
        "at": "1s",
        "for": "2s",
    }
    run = start_run(plan_with(proxy.url, [ramp], web={"proxy": "web"}))
    run.tell("inject", fault="ramp", lease_s=20)
    seen: list[int] = []

    def reached() -> bool:
        (toxic,) = proxy.ask("GET", "/proxies/web/toxics") or [{"attributes": {"latency": 0}}]
        seen.append(toxic["attributes"]["latency"])
        return seen[-1] == 400

    run.wait("active", "ramp")
    until(reached, "the end of the ramp", 10)
    assert seen == sorted(seen)
    assert len(set(seen)) >= 4, seen
    run.tell("revert", fault="ramp")
    run.wait("reverted", "ramp")
    assert proxy.toxics() == []


def test_a_fault_that_somebody_else_ended_is_not_proved(
    embedded: ProxyServer, upstream: int, start_run: Callable[..., Run], load: Callable[..., Load]
) -> None:
    """Also when it happens so shortly before its end that no reading falls in between."""
    load(embedded.make("web", upstream), True)
    run = start_run(plan_with(embedded.url, [latency()], web={"proxy": "web"}))
    run.tell("observe", fault="slow")
    run.tell("inject", fault="slow", lease_s=20)
    assert run.wait("effect", "slow")["mechanism"] is True
    (toxic,) = embedded.ask("GET", "/proxies/web/toxics")
    embedded.ask("DELETE", f"/proxies/web/toxics/{toxic['name']}")
    run.tell("revert", fault="slow")
    run.wait("reverted", "slow")
    (final,) = [m for m in run.seen if m["event"] == "effect" and m["final"]]
    assert final["mechanism"] is None
    assert "it had ended before it was undone" in final["detail"] or "ended by itself" in final["detail"]


def test_a_link_flaps_by_its_times(proxy: ProxyServer, upstream: int, start_run: Callable[..., Run]) -> None:
    proxy.make("web", upstream)
    flap = {"name": "flap", "kind": "flap", "target": "web", "down": "1s", "up": "500ms"}
    run = start_run(plan_with(proxy.url, [flap | {"at": "1s", "for": "10s"}], web={"proxy": "web"}))
    run.tell("inject", fault="flap", lease_s=20)
    run.wait("active", "flap")
    edges: list[tuple[float, bool]] = [(time.monotonic(), False)]

    def six_edges() -> bool:
        enabled = proxy.ask("GET", "/proxies/web")["enabled"]
        if enabled != edges[-1][1]:
            edges.append((time.monotonic(), enabled))
        return len(edges) == 6

    until(six_edges, "six changes", 15)
    assert [enabled for _, enabled in edges] == [False, True] * 3
    for number, (at_s, _) in enumerate(edges):
        due_s = number // 2 * 1.5 + number % 2 * 1.0
        assert abs(at_s - edges[0][0] - due_s) < 0.4, edges
    run.tell("revert", fault="flap")
    run.wait("reverted", "flap")
    assert proxy.all_enabled()


def test_a_run_under_gevent_is_never_blocked(
    embedded: ProxyServer, upstream: int, start_run: Callable[..., Run]
) -> None:
    embedded.make("web", upstream)
    run = start_run(plan_with(embedded.url, [latency()], web={"proxy": "web"}), gevent=True)
    run.tell("observe", fault="slow")
    run.tell("inject", fault="slow", lease_s=20)
    run.wait("active", "slow")
    run.tell("revert", fault="slow")
    run.wait("reverted", "slow")
    run.kill_guardian()
    run.wait("guardian_lost")
    run.tell("recover")
    done = run.wait("done")
    assert done["clean"] is True
    assert done["ticks"] >= 5, "other greenlets stood still while one waited for the guardian"


def test_a_revert_before_the_onset_forbids_it(
    embedded: ProxyServer, upstream: int, start_run: Callable[..., Run]
) -> None:
    embedded.make("web", upstream)
    run = start_run(plan_with(embedded.url, [latency()], web={"proxy": "web"}))
    run.tell("observe", fault="slow")
    until(run.leases, "the lease is written before the fault")
    run.tell("revert", fault="slow")
    until(lambda: not run.leases(), "a fault that will not come needs no lease")
    run.tell("inject", fault="slow", lease_s=20)
    run.wait("failed", "slow")
    assert embedded.toxics() == []
