"""What settings of databases mean, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from compliance.measures.stores.postgres_hba import plain_from_afar
from compliance.measures.stores.redis_server import is_everywhere


def rule(type_: str, address: str | None, method: str = "scram-sha-256") -> Mapping[str, Any]:
    return {
        "type": type_,
        "address": address,
        "auth_method": method,
        "database": ["all"],
        "user_name": ["all"],
    }


def whole(address: str) -> Mapping[str, Any]:
    return {**rule("hostnossl", address, "reject"), "netmask": address}


@pytest.mark.parametrize(
    ("addresses", "rules", "expected"),
    [
        ("localhost, 127.0.0.1,::1", [rule("host", "0.0.0.0")], False),
        ("", [rule("host", "all")], False),
        ("*", [rule("local", None), rule("host", "127.0.0.1"), rule("host", "::1")], False),
        ("*", [rule("hostssl", "all")], False),
        ("*", [rule("host", "all")], True),
        ("127.0.0.1,10.0.0.5", [rule("hostnossl", "10.0.0.0")], True),
        ("0.0.0.0", [rule("host", "samenet")], True),
        ("*", [rule("host", "db.example.org")], True),
        ("*", [rule("hostnossl", "all", "reject"), rule("host", "all")], False),
        ("*", [rule("host", "10.0.0.0", "reject"), rule("host", "all")], True),
        ("*", [rule("host", "all"), rule("hostnossl", "all", "reject")], True),
        ("*", [{**rule("hostnossl", "all", "reject"), "database": ["shop"]}, rule("host", "all")], True),
        ("*", [whole("0.0.0.0"), rule("host", "10.0.0.0")], False),
        ("*", [whole("0.0.0.0"), rule("host", "all")], True),
        ("*", [whole("0.0.0.0"), whole("::"), rule("host", "all")], False),
        ("*", [{**whole("0.0.0.0"), "netmask": "255.0.0.0"}, rule("host", "10.0.0.0")], True),
        ("*", [], False),
        ("*", None, None),
        ("localhost", None, False),
    ],
)
def test_who_may_connect_without_encryption(
    addresses: str, rules: list[Mapping[str, Any]] | None, expected: bool | None
) -> None:
    assert plain_from_afar(addresses, rules) is expected


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("127.0.0.1", False),
        ("127.0.0.1 -::1", False),
        ("10.0.0.5", False),
        ("", True),
        ("*", True),
        ("* -::*", True),
        ("0.0.0.0", True),
        ("127.0.0.1 ::", True),
    ],
)
def test_where_redis_listens(bind: str, expected: bool) -> None:
    assert is_everywhere(bind) is expected
