"""Every fault on a link, on the embedded proxy and on the real one: it acts, is proved, and goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from bench.ports import free_port
from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.registry import Backends
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault
from chaos_locust.plan.model import Plan

from .conftest import Load, ProxyServer

FAULTS: dict[str, dict[str, Any]] = {
    "latency": {"latency": "100ms", "jitter": "20ms"},
    "latency both ways": {"latency": "60ms", "direction": "both"},
    "latency upstream": {"latency": "100ms", "direction": "upstream"},
    "latency on a share": {"latency": "100ms", "share": "50%"},
    "gradual_latency": {"from": "80ms", "latency": "100ms"},
    "bandwidth": {"rate": "1KB/s"},
    "timeout": {},
    "reset": {},
    "slow_close": {"delay": "300ms"},
    "slicer": {"size": "10B", "delay": "10ms"},
    "limit": {"bytes": "10B"},
    "down": {},
    "flap": {"down": "30s"},
}
MEASURED = ("ms on the link", "hellos without an answer")


def plan_for(api: str, kind: str, **changes: Any) -> Plan:
    fault = {"name": "it", "kind": kind, "target": "web", "at": "1s", "for": "3s", **changes}
    return Plan.from_json(
        {"name": "p", "proxy_api": api, "targets": {"web": {"proxy": "web"}}, "faults": [fault]}
    )


class Rig:
    def __init__(self, plan: Plan) -> None:
        self.fault: Fault = plan.faults[0]
        self.backend = Backends().named(self.fault.family)
        self.undo = self.backend.prepare("r1", plan, self.fault, plan.targets["web"])
        self.before: list[Reading] = []
        self.during: list[Reading] = []

    def look(self, readings: list[Reading], times: int) -> None:
        for _ in range(times):
            readings.append(self.backend.observe(self.fault, self.undo))
            time.sleep(0.1)

    def look_until_proved(self) -> Effect:
        """A held request keeps its user from the next until it times out, so that use may take a while."""
        for _ in range(30):
            self.look(self.during, 1)
            effect = self.backend.effect(self.fault, self.before, self.during)
            if effect.mechanism and effect.use and len(self.during) >= 3:
                break
        return effect


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_acts_and_is_proved_and_goes(
    proxy: ProxyServer, upstream: int, load: Callable[..., Load], name: str
) -> None:
    load(proxy.make("web", upstream))
    plan = plan_for(proxy.url, name.split(" ")[0], **FAULTS[name])
    rig = Rig(plan)
    assert rig.backend.preflight(plan, rig.fault, plan.targets["web"]) == []
    rig.look(rig.before, 3)
    rig.backend.inject(rig.fault, rig.undo)
    assert not rig.backend.verify(rig.undo)
    effect = rig.look_until_proved()
    assert effect.mechanism is True, effect
    assert effect.use is True, effect
    assert any(words in effect.detail for words in MEASURED), effect
    rig.backend.revert(rig.undo)
    rig.backend.revert(rig.undo)
    assert rig.backend.verify(rig.undo)
    assert proxy.toxics() == []
    assert proxy.all_enabled()


def test_a_link_without_load_is_not_used(proxy: ProxyServer, upstream: int) -> None:
    proxy.make("web", upstream)
    rig = Rig(plan_for(proxy.url, "latency", latency="100ms"))
    rig.look(rig.before, 3)
    rig.backend.inject(rig.fault, rig.undo)
    rig.look(rig.during, 3)
    effect = rig.backend.effect(rig.fault, rig.before, rig.during)
    assert (effect.mechanism, effect.use) == (True, False), effect


def test_a_connection_of_a_pool_that_is_only_closed_is_no_use(
    proxy: ProxyServer, upstream: int, load: Callable[..., Load]
) -> None:
    """All its bytes are counted when it ends, but they went through before the fault."""
    pool = load(proxy.make("web", upstream), True)
    rig = Rig(plan_for(proxy.url, "latency", latency="100ms"))
    rig.look(rig.before, 3)
    pool.stop()
    rig.backend.inject(rig.fault, rig.undo)
    rig.look(rig.during, 4)
    effect = rig.backend.effect(rig.fault, rig.before, rig.during)
    assert effect.use is False, effect


def test_a_toxic_that_somebody_took_off_is_noticed(
    proxy: ProxyServer, upstream: int, load: Callable[..., Load]
) -> None:
    load(proxy.make("web", upstream))
    rig = Rig(plan_for(proxy.url, "latency", latency="100ms"))
    rig.look(rig.before, 2)
    rig.backend.inject(rig.fault, rig.undo)
    proxy.ask("POST", "/reset")
    rig.look(rig.during, 3)
    effect = rig.backend.effect(rig.fault, rig.before, rig.during)
    assert effect.mechanism is False, effect
    assert rig.backend.verify(rig.undo)


def test_a_proxy_that_is_gone_is_clean_and_a_server_that_is_gone_is_unknown(
    proxy: ProxyServer, upstream: int
) -> None:
    proxy.make("web", upstream)
    rig = Rig(plan_for(proxy.url, "latency", latency="100ms"))
    rig.backend.inject(rig.fault, rig.undo)
    proxy.ask("DELETE", "/proxies/web")
    rig.backend.revert(rig.undo)
    assert rig.backend.verify(rig.undo)
    proxy.kill()
    with pytest.raises(BackendError, match=r"does not answer.*cannot verify that toxic chaos-r1-it"):
        rig.backend.revert(rig.undo)


def test_a_proxy_that_was_off_before_stays_off(proxy: ProxyServer, upstream: int) -> None:
    proxy.make("web", upstream)
    proxy.ask("POST", "/proxies/web", {"enabled": False})
    rig = Rig(plan_for(proxy.url, "down"))
    rig.backend.inject(rig.fault, rig.undo)
    rig.backend.revert(rig.undo)
    assert rig.backend.verify(rig.undo)
    assert not proxy.all_enabled()


def problems(plan: Plan) -> list[str]:
    fault = plan.faults[0]
    backend = Backends().named(fault.family)
    return [str(problem) for problem in backend.preflight(plan, fault, plan.targets["web"])]


def test_preflight_tells_what_is_missing(proxy: ProxyServer, upstream: int) -> None:
    plan = plan_for(proxy.url, "latency", latency="1ms")
    (missing,) = problems(plan)
    assert missing.startswith("targets.web: ")
    assert "has no proxy 'web'; it has: none" in missing
    proxy.make("web", upstream)
    assert problems(plan) == []
    left = {"name": "chaos-old-x-downstream", "type": "latency", "attributes": {}}
    proxy.ask("POST", "/proxies/web/toxics", left)
    proxy.ask("POST", "/proxies/web", {"enabled": False})
    off, old = problems(plan)
    assert "is switched off" in off
    assert "chaos-old-x-downstream of an earlier run" in old
    assert "cleanup --scan" in old


@pytest.mark.parametrize("kind", ["embedded", "real"])
def test_preflight_wants_counters(kind: str, upstream: int) -> None:
    server = ProxyServer(kind)
    try:
        server.make("web", upstream)
        (told,) = problems(plan_for(server.url, "latency", latency="1ms"))
        assert "-proxy-metrics" in told
    finally:
        server.kill()


def test_preflight_of_a_dead_api_and_of_another_program(upstream: int) -> None:
    (dead,) = problems(plan_for(f"http://127.0.0.1:{free_port()}", "latency", latency="1ms"))
    assert dead.startswith("proxy_api: ")
    assert "connection refused" in dead
    (other,) = problems(plan_for(f"http://127.0.0.1:{upstream}", "latency", latency="1ms"))
    assert "is no Toxiproxy" in other


def test_preflight_of_addresses(embedded: ProxyServer, upstream: int) -> None:
    embedded.ask(
        "POST", "/proxies", {"name": "web", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{upstream}"}
    )
    taken = {"upstream": f"127.0.0.1:{upstream}", "listen": f"127.0.0.1:{upstream}"}
    far = taken | {"listen": "10.11.12.13:80"}
    for target, words in ((taken, "nothing can listen at"), (far, "which the plan does not allow")):
        plan = plan_for(embedded.url, "latency", latency="1ms")
        told = problems(Plan.from_json(plan.to_json() | {"targets": {"web": target}}))
        assert len(told) == 1
        assert words in told[0]
