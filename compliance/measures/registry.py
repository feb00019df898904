"""All measures that are built in, by name. A module is imported when one of its measures is asked for: some
need packages that not everybody has."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from chaos_locust.errors import ChaosError
from compliance.measures.base import Measure

TOPICS = (
    "tls",
    "audit_log",
    "audit_kept",
    "headers",
    "banners",
    "errors",
    "inputs",
    "data",
    "monitoring",
    "access",
    "tokens",
    "made_up",
    "credentials",
    "passwords",
    "sessions",
    "network",
    "backups",
    "dependencies",
    "database",
    "redis_server",
    "kubernetes_pods",
    "kubernetes_secrets",
    "kubernetes_rbac",
    "kubernetes_network",
    "kubernetes_server",
    "accounts",
    "audit_reading",
    "availability",
    "processing",
    "personal_data",
    "documents",
    "scans",
    "continuous",
    "lockout",  # the last, for others log the canary in
)


@cache
def measures() -> dict[str, type[Measure]]:
    """Raises ChaosError where a package is missing."""
    found: dict[str, type[Measure]] = {}
    for topic in TOPICS:
        try:
            module = import_module(f"compliance.measures.{topic}")
        except ImportError as error:
            text = f"audits need the package {error.name}: pip install 'chaos-locust[compliance]'"
            raise ChaosError(text) from None
        for each in module.MEASURES:
            assert each.name not in found, each.name
            found[each.name] = each
    return found
