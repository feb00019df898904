"""Faults on links, done by a proxy that speaks Toxiproxy's HTTP API: ours or the real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaos_locust.backends.base import MARK, Effect, Reading, Undo
from chaos_locust.backends.http.api import make_link
from chaos_locust.backends.link.effect import hellos_needed, link_effect
from chaos_locust.backends.link.preflight import link_problems
from chaos_locust.backends.proxy.toxics import attributes_at, made_proxy, toxics_of
from chaos_locust.backends.proxy.undo import ProxyUndo
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.base import Fault, ProxyFault
from chaos_locust.faults.network import Down, Flap, GradualLatency, Latency, SlowClose
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target

_HELLO_LIMIT_S = 1.0
_READINGS_FOR_SHARE = 10  # after so many readings enough hellos were said to meet a share of the connections


class ToxiproxyBackend(ProxyUndo):
    """For its Undo see `ProxyUndo`."""

    name = "proxy"

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        return link_problems(plan, target, self._api(plan.proxy_api))

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        if target.upstream is None:
            return None
        name = made_proxy(run_id, target)
        return {"backend": self.name, "action": "proxy", "api": plan.proxy_api, "proxy": name}

    def build(self, undo: Undo, target: Target) -> None:
        make_link(undo["api"], undo["proxy"], target)

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        name = target.proxy or made_proxy(run_id, target)
        proxy = self._api(plan.proxy_api).proxy(name)
        undo: Undo = {
            "backend": self.name,
            "api": plan.proxy_api,
            "proxy": name,
            "listen": proxy["listen"],
            "upstream": proxy["upstream"],
            "target": target.name,
        }
        if isinstance(fault, Down):
            return undo | {"action": "enabled", "enabled": proxy["enabled"]}
        return undo | {"action": "toxics", "toxics": toxics_of(run_id, fault)}

    def inject(self, fault: Fault, undo: Undo) -> None:
        api = self._api(undo["api"])
        if undo["action"] == "enabled":
            api.enable_proxy(undo["proxy"], False)
            return
        for toxic in undo["toxics"]:
            api.add_toxic(undo["proxy"], toxic)

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        if isinstance(fault, Flap):
            self._api(undo["api"]).enable_proxy(undo["proxy"], not fault.is_down_at(elapsed_s))
        if isinstance(fault, GradualLatency):
            for toxic in undo["toxics"]:
                attributes = attributes_at(fault, elapsed_s)
                self._api(undo["api"]).update_toxic(undo["proxy"], toxic["name"], attributes)

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        api = self._api(undo["api"])
        self._watch.learn(api, undo)
        reading = self._watch.count(api, undo["proxy"], undo["listen"])
        reading |= {"listed": None, "others": [], "enabled": True, "hellos": []}
        names = {toxic["name"] for toxic in undo.get("toxics", ())}
        try:
            proxy = api.proxy(undo["proxy"])
        except BackendError as error:
            return reading | {"error": str(error)}
        reading["enabled"] = proxy["enabled"]
        reading["listed"] = [toxic for toxic in proxy["toxics"] if toxic["name"] in names]
        reading["others"] = sorted(toxic["name"] for toxic in proxy["toxics"] if toxic["name"] not in names)
        times = -(-hellos_needed(fault.share) // _READINGS_FOR_SHARE) if isinstance(fault, ProxyFault) else 1
        limit_s = _HELLO_LIMIT_S + 3 * _longest_delay(fault)
        to_the_end = isinstance(fault, SlowClose)
        reading["hellos"] = self._watch.hellos(api, undo, times, limit_s, to_the_end)
        return reading

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return link_effect(fault, before, during)

    def scan(self, place: str) -> list[Undo]:
        """place: the URL of a proxy API."""
        found: list[Undo] = []
        for name, proxy in self._api(place).proxies().items():
            undo = {"backend": self.name, "api": place, "proxy": name}
            if name.startswith(MARK):
                found.append(undo | {"action": "proxy"})
                continue
            toxics: list[Any] = [toxic for toxic in proxy["toxics"] if toxic["name"].startswith(MARK)]
            if toxics:
                found.append(undo | {"action": "toxics", "toxics": toxics})
        return found


def _longest_delay(fault: Fault) -> float:
    """Seconds that an answer can take longer, each way."""
    if isinstance(fault, Latency):
        return fault.latency_s + fault.jitter_s
    if isinstance(fault, GradualLatency):
        return max(fault.latency_s, fault.from_s) + fault.jitter_s
    return fault.delay_s if isinstance(fault, SlowClose) else 0.0
