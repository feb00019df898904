"""Where to look for our marks, and which backend can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from chaos_locust.backends.registry import BUILT_IN
from chaos_locust.errors import ChaosError
from chaos_locust.redact import redact_text

DEFAULT_PROXY_API = "http://127.0.0.1:8474"

BY_SCHEME = {
    "http": ("proxy", "http"),
    "https": ("proxy", "http"),
    "postgres": ("postgres",),
    "postgresql": ("postgres",),
    "redis": ("redis",),
    "rediss": ("redis",),
    "valkey": ("redis",),
    "valkeys": ("redis",),
    "unix": ("containers",),
    "tcp": ("containers",),
    "kubernetes": ("kubernetes", "chaos_mesh"),
    "": ("files", "clock"),
}
"""Families of faults that leave marks at such a place; without a scheme: a folder."""

_ON_PROXIES = BY_SCHEME["http"]


@dataclass(frozen=True, slots=True)
class Search:
    """place: see `Backend.scan`. asked: a person named it, so that not to reach it is a failure."""

    family: str
    place: str
    asked: bool


def searches(scan: bool, proxy_apis: Sequence[str], places: Sequence[str]) -> list[Search]:
    """Raises ChaosError for a place that is none."""
    found = [Search(family, place, True) for place in places for family in _families(place)]
    if scan:
        found += [Search("proxy", api, True) for api in proxy_apis]
        if not any(search.family == "proxy" for search in found):
            found.append(Search("proxy", DEFAULT_PROXY_API, False))
        found += [Search(family, "", False) for family in BUILT_IN if family not in _ON_PROXIES]
    return found


def _families(place: str) -> tuple[str, ...]:
    scheme = urlsplit(place).scheme
    if scheme not in BY_SCHEME or not place.startswith(f"{scheme}://" if scheme else "/"):
        allowed = (
            "the URL of a proxy's API (http://...), postgres://..., redis://..., "
            "a Docker socket (unix://...), a cluster (kubernetes://CONTEXT), or a folder (/...)"
        )
        raise ChaosError(f"--at: '{redact_text(place)}' is no place to look at; allowed: {allowed}")
    return BY_SCHEME[scheme]
