"""Where a run may reach: URLs, and the addresses that targets may be at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII
)


def read_url(value: str) -> str:
    """The URL without a slash at its end. Raises ValueError."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"'{value}' is no URL; give one such as http://127.0.0.1:8000")
    return value.rstrip("/")


def read_allowed(value: str) -> str:
    """An address, a network or a host name. Raises ValueError."""
    try:
        ip_network(value)
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(
                f"'{value}' is no network; did you mean {ip_network(value, strict=False)}?"
            ) from None
        if re.fullmatch(r"[\d.:/]+", value) or not _HOST_NAME.fullmatch(value):
            shown = "give one such as 10.0.0.7, 10.0.0.0/24 or db.internal"
            raise ValueError(f"'{value}' is no address, network or host name; {shown}") from None
    return value


def may_reach(host: str, allow: Iterable[str]) -> bool | None:
    """Whether a target may be at `host`; None: a name that has to be resolved to know.

    host: without port; an IPv6 address without brackets. Loopback is always allowed.
    """
    address = literal(host)
    if address is None:
        if host.lower() == "localhost" or host.lower() in (entry.lower() for entry in allow):
            return True
        return None
    if address.is_loopback:
        return True
    return any(
        address in ip_network(entry) for entry in allow if literal(entry.partition("/")[0]) is not None
    )


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that is written out; None when it is a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
