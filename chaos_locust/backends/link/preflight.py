"""Finds out whether the faults of a plan could be done on a link, without changing anything."""

from __future__ import annotations

import socket

from chaos_locust.backends.base import MARK
from chaos_locust.backends.proxy.client import NotThere, ToxiproxyApi
from chaos_locust.errors import BackendError, Problem
from chaos_locust.plan.allow import may_reach
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.probes.link import is_local, link_address

_METRICS_HINT = (
    "start it with -proxy-metrics (the real server: toxiproxy-server -proxy-metrics; the embedded one: "
    "chaos-locust proxy -proxy-metrics), or nobody can prove that the load used the link"
)


def link_problems(plan: Plan, target: Target, api: ToxiproxyApi) -> list[Problem]:
    """Every reason why this target's link cannot be touched now."""
    place = f"targets.{target.name}"
    if not target.has_link:
        return [Problem(place, "gives no link; a fault on a link needs proxy, or upstream and listen")]
    try:
        proxies = api.proxies()
    except BackendError as error:
        return [Problem("proxy_api", f"{error}; start one, such as: chaos-locust proxy -proxy-metrics")]
    except ValueError:
        return [Problem("proxy_api", f"what answers at {api.place} is no Toxiproxy")]
    problems = _metrics_problems(api)
    if target.proxy is None:
        assert target.listen is not None
        return (
            problems
            + _listen_problems(place, plan, target.listen, api)
            + _unmade_problems(place, target, api)
        )
    proxy = proxies.get(target.proxy)
    if proxy is None:
        known = ", ".join(sorted(proxies)) or "none"
        return [
            *problems,
            Problem(place, f"the proxy at {api.place} has no proxy {target.proxy!r}; it has: {known}"),
        ]
    if not proxy["enabled"]:
        problems.append(Problem(place, f"the proxy {target.proxy!r} is switched off"))
    left = [toxic["name"] for toxic in proxy["toxics"] if toxic["name"].startswith(MARK)]
    if left:
        found = ", ".join(left)
        problems.append(
            Problem(
                place,
                f"{found} of an earlier run is left on it; run: "
                f"chaos-locust cleanup --scan --proxy-api {api.place}",
            )
        )
    return problems + _listen_problems(place, plan, proxy["listen"], api)


def _metrics_problems(api: ToxiproxyApi) -> list[Problem]:
    try:
        api.metrics()
    except NotThere:
        return [Problem("proxy_api", f"the proxy at {api.place} counts no bytes; {_METRICS_HINT}")]
    except BackendError as error:
        return [Problem("proxy_api", str(error))]
    return []


def _listen_problems(place: str, plan: Plan, listen: str, api: ToxiproxyApi) -> list[Problem]:
    """The link must be at an address that the plan allows."""
    address = link_address(listen, api.host)
    host = address[0] if address else api.host
    allowed = may_reach(host, plan.allow)
    if allowed is None:
        try:
            found = {str(row[4][0]) for row in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
        except OSError:
            return [Problem(place, f"the name {host} cannot be resolved")]
        allowed = all(may_reach(each, plan.allow) for each in found)
    if not allowed:
        return [Problem(place, f"its link is at {host}, which the plan does not allow; add it to allow:")]
    return []


def _unmade_problems(place: str, target: Target, api: ToxiproxyApi) -> list[Problem]:
    """The address that a proxy will be made at must be free, as far as it can be told from here."""
    assert target.listen is not None
    address = link_address(target.listen, api.host)
    if address is None or not is_local(api.host) or not is_local(address[0]):
        return []
    try:
        socket.create_server(address, reuse_port=False).close()
    except OSError as error:
        return [Problem(place, f"nothing can listen at {target.listen}: {error.strerror}")]
    return []
