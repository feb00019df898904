"""All measures that are built in, by name. A module is imported when one of its measures is asked for: some
need packages that not everybody has."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from chaos_locust.errors import ChaosError
from compliance.measures.base import Measure

TOPICS = (
    "web.tls",
    "audit_log.events",
    "audit_log.kept",
    "web.headers",
    "web.banners",
    "web.errors",
    "web.inputs",
    "web.data",
    "operations.monitoring",
    "access.roles",
    "access.tokens",
    "access.made_up",
    "access.credentials",
    "access.passwords",
    "access.sessions",
    "web.network",
    "stores.backups",
    "operations.dependencies",
    "stores.database",
    "stores.redis_server",
    "kubernetes.pods",
    "kubernetes.secrets",
    "kubernetes.rbac",
    "kubernetes.network",
    "kubernetes.server",
    "access.accounts",
    "audit_log.reading",
    "web.availability",
    "operations.processing",
    "operations.personal_data",
    "operations.documents",
    "operations.scans",
    "operations.continuous",
    "access.lockout",  # the last, for others log the canary in
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
