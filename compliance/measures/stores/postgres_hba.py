"""Whom pg_hba.conf lets in without encryption. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any


def plain_from_afar(listen_addresses: str, rules: Sequence[Mapping[str, Any]] | None) -> bool | None:
    """rules: of pg_hba.conf, in their order: the first that fits a connection decides. Only those of the
    types host and hostnossl fit one from another machine that is not encrypted."""
    if all(_is_near(each.strip()) for each in listen_addresses.split(",") if each.strip()):
        return False
    if rules is None:
        return None
    left = {4, 6}  # versions of IP that no rule has refused altogether
    for rule in rules:
        address = str(rule["address"])
        if rule["type"] not in ("host", "hostnossl") or _is_near(address):
            continue
        if rule["auth_method"] != "reject":
            if left & _versions(address):
                return True
        elif rule["database"] == ["all"] and rule["user_name"] == ["all"] and _is_whole(rule):
            left -= _versions(address)
    return False


def _versions(address: str) -> set[int]:
    """Those of a name and of `all` are both."""
    try:
        return {ip_address(address).version}
    except ValueError:
        return {4, 6}


def _is_whole(rule: Mapping[str, Any]) -> bool:
    return rule["address"] == "all" or (
        rule["address"] in ("0.0.0.0", "::") and rule.get("netmask") == rule["address"]
    )


def _is_near(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address in ("localhost", "samehost")
