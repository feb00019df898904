"""Faults on HTTP messages, done by the embedded proxy as toxics that Toxiproxy does not have."""

from __future__ import annotations

import time
from collections.abc import Sequence

import requests

from chaos_locust.backends.base import MARK, Effect, Reading, Undo, mark
from chaos_locust.backends.http.api import make_link
from chaos_locust.backends.http.effect import http_effect
from chaos_locust.backends.http.preflight import http_problems
from chaos_locust.backends.http.toxic import http_toxic
from chaos_locust.backends.proxy.client import REPLY_LIMIT_S
from chaos_locust.backends.proxy.toxics import made_proxy
from chaos_locust.backends.proxy.undo import ProxyUndo
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.http import HttpFault
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.probes.link import link_address


class HttpBackend(ProxyUndo):
    """For its Undo see `ProxyUndo`; it has a `mark` besides. The proxy itself counts what it does to the
    load, without a probe."""

    name = "http"

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        problems = http_problems(plan, target, self._api(plan.proxy_api))
        if not problems and isinstance(fault, HttpFault) and fault.reads_answer and target.proxy is not None:
            try:
                http_toxic("trial", fault, self._answer(plan, fault, target.proxy, target))
            except BackendError as error:
                problems.append(Problem(f"targets.{target.name}", str(error)))
        return problems

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        if target.upstream is None:
            return None
        name = made_proxy(run_id, target)
        return {"backend": self.name, "action": "proxy", "mark": name, "api": plan.proxy_api, "proxy": name}

    def build(self, undo: Undo, target: Target) -> None:
        make_link(undo["api"], undo["proxy"], target)

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        proxy = target.proxy or made_proxy(run_id, target)
        answer = self._answer(plan, fault, proxy, target)
        name = mark(run_id, fault.name, "http")
        return {
            "backend": self.name,
            "action": "toxics",
            "mark": name,
            "api": plan.proxy_api,
            "proxy": proxy,
            "toxics": [http_toxic(name, fault, answer)],
        }

    def inject(self, fault: Fault, undo: Undo) -> None:
        for toxic in undo["toxics"]:
            self._api(undo["api"]).add_toxic(undo["proxy"], toxic)

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        raise BackendError(f"the fault kind {fault.kind} does not change with time")

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        """{at_s, listed: {name, counts} as the proxy lists the toxic or None, error}; never what it says or
        sends, which may be secret."""
        reading: Reading = {"at_s": time.monotonic(), "listed": None, "error": ""}
        names = {toxic["name"] for toxic in undo["toxics"]}
        try:
            toxics = self._api(undo["api"]).proxy(undo["proxy"])["toxics"]
        except BackendError as error:
            return reading | {"error": str(error)}
        listed = [{"name": t["name"], "counts": t["counts"]} for t in toxics if t["name"] in names]
        return reading | {"listed": listed[0] if listed else None}

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return http_effect(fault, during)

    def scan(self, place: str) -> list[Undo]:
        """place: the URL of a proxy API. The proxies that runs made are found by the family `proxy`."""
        found: list[Undo] = []
        for name, proxy in self._api(place).proxies().items() if place else ():
            if name.startswith(MARK):
                continue  # it goes as a whole
            for toxic in proxy["toxics"]:
                if toxic["type"] == "http" and toxic["name"].startswith(MARK):
                    undo = {"backend": self.name, "action": "toxics", "mark": toxic["name"]}
                    found.append(undo | {"api": place, "proxy": name, "toxics": [toxic]})
        return found

    def _answer(self, plan: Plan, fault: Fault, proxy: str, target: Target) -> bytes:
        """What is answered over the link now, for a fault that is made from it."""
        api = self._api(plan.proxy_api)
        address = link_address(api.proxy(proxy)["listen"], api.host)
        if not isinstance(fault, HttpFault) or not fault.reads_answer or address is None:
            return b""
        scheme = "http" if target.tls is None else "https"
        url = f"{scheme}://{address[0]}:{address[1]}{fault.route}"
        try:  # unverified, for a proxy of ours may have a certificate that only the target's clients trust
            reply = requests.get(url, timeout=REPLY_LIMIT_S, verify=False, allow_redirects=False)
            reply.raise_for_status()
        except requests.RequestException as error:
            raise BackendError(f"{url} cannot be read: {type(error).__name__}") from None
        return reply.content
