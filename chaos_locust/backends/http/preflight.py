"""Finds out whether faults on HTTP could be done on a link, without changing anything."""

from __future__ import annotations

from pathlib import Path

from chaos_locust.backends.http.api import EmbeddedApi
from chaos_locust.backends.link.preflight import link_problems
from chaos_locust.errors import BackendError, Problem
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.probes.link import is_local


def http_problems(plan: Plan, target: Target, api: EmbeddedApi) -> list[Problem]:
    """Every reason why this target's HTTP cannot be touched now."""
    problems = link_problems(plan, target, api)
    try:
        additions = api.additions()
    except BackendError:
        return problems  # it is told already that nothing is to be had there
    if additions is None:
        text = (
            f"the proxy at {api.place} is a Toxiproxy, which has no faults on HTTP messages and no TLS; "
            "use the embedded one: chaos-locust proxy -proxy-metrics"
        )
        problems.append(Problem("proxy_api", text))
    return problems + _file_problems(target, api)


def _file_problems(target: Target, api: EmbeddedApi) -> list[Problem]:
    """The proxy reads the files; only on this machine can be seen whether they are there."""
    if target.tls is None or not is_local(api.host):
        return []
    files = {name: getattr(target.tls, name) for name in ("certificate", "key", "upstream_ca")}
    return [
        Problem(f"targets.{target.name}.tls.{name}", f"there is no file {path}")
        for name, path in files.items()
        if path is not None and not Path(path).is_file()
    ]
