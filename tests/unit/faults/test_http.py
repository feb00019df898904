"""Faults on HTTP messages as data: mistakes, what they are to the proxy, and which cannot act together."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from chaos_locust.backends.http.toxic import http_toxic
from chaos_locust.faults.base import Fault
from chaos_locust.faults.http import FAULTS, HttpFault, routes_meet
from chaos_locust.faults.registry import parse_fault
from chaos_locust.proxy.http.settings import HttpSettings, glob_matches

COMMON = {"name": "x", "target": "web", "at": "1s", "for": "10s"}
EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "http_status": (
        {"status": 503, "body": "busy", "content_type": "text/plain", "ask_upstream": True},
        {
            "status": 503,
            "body": "busy",
            "ask_upstream": True,
            "response_headers": {"Content-Type": "text/plain"},
        },
    ),
    "http_delay": ({"delay": "250ms"}, {"delay_ms": 250}),
    "http_slow_body": ({"rate": "10KB/s"}, {"rate": 10_000}),
    "http_truncate": ({"bytes": "1KiB"}, {"truncate": 1024}),
    "http_corrupt": ({"every": "100B"}, {"corrupt_every": 100}),
    "http_header": (
        {"request_headers": {"Authorization": None}, "response_headers": {"Content-Type": "a/b"}},
        {"request_headers": {"Authorization": None}, "response_headers": {"Content-Type": "a/b"}},
    ),
    "http_body": (
        {"body": "{}", "content_type": "application/json"},
        {"body": "{}", "response_headers": {"Content-Type": "application/json"}},
    ),
}


def parsed(kind: str, **changes: Any) -> Fault:
    fault = parse_fault({"kind": kind, **COMMON, **EXAMPLES[kind][0], **changes}, "x")
    assert isinstance(fault, Fault), fault
    return fault


def told(kind: str, **changes: Any) -> list[str]:
    data = {"kind": kind, **COMMON, **EXAMPLES[kind][0], **changes}
    found = parse_fault({key: value for key, value in data.items() if value is not None}, "f")
    assert isinstance(found, list), f"accepted: {found}"
    return [str(problem) for problem in found]


@pytest.mark.parametrize("kind", [cls.kind for cls in FAULTS])
def test_every_kind_reads_back_and_is_a_toxic_that_the_proxy_takes(kind: str) -> None:
    fault = parsed(kind, route="/a/*", method="GET", share="25%")
    assert parse_fault(json.loads(json.dumps(fault.to_json())), "x") == fault
    toxic = http_toxic("chaos-r-x", fault)
    assert (toxic["name"], toxic["type"], toxic["toxicity"]) == ("chaos-r-x", "http", 0.25)
    where = {"route": "/a/*", "method": "GET", "expires_ms": 25_000}
    assert toxic["attributes"] == where | EXAMPLES[kind][1]
    assert HttpSettings().changed(toxic["attributes"]).document() == toxic["attributes"]
    assert "method" not in http_toxic("x", parsed(kind))["attributes"]


def test_mistakes_name_the_field_the_value_and_what_is_allowed() -> None:
    assert told("http_status", status=99) == [
        "f.status: '99' is no status of an answer; give one from 200 to 599"
    ]
    assert told("http_status", status=204) == ["f.body: cannot be sent with status 204, which has none"]
    (route,) = told("http_delay", route="orders")
    assert route.startswith("f.route: 'orders' is no path; give one such as /orders/*")
    assert "f.method: 'get' is not allowed; allowed: 'GET'" in told("http_delay", method="get")[0]
    assert "f.share: '0%' is not allowed" in told("http_delay", share="0%")[0]
    assert "f.share" in told("http_delay", share="101%")[0]
    assert told("http_delay", delay="0.5ms") == [
        "f.delay: '500us' is finer than a proxy goes; give whole milliseconds"
    ]
    assert "f.rate" in told("http_slow_body", rate="0B/s")[0]
    assert "f.bytes" in told("http_truncate", bytes="0B")[0]
    assert "f.every" in told("http_corrupt", every=10)[0]
    assert told("http_header", request_headers={}, response_headers={}) == [
        "f.response_headers: is missing; give it, or request_headers, or both"
    ]
    for headers, words in (
        ({"Content-Length": "1"}, "'Content-Length' says where a message ends, and cannot be changed"),
        ({"a b": "c"}, "'a b' is no name of a header"),
        ({"A": "b\r\nC: d"}, "the value of 'A' is not one line of ASCII"),
    ):
        assert told("http_header", request_headers=headers) == [f"f.request_headers: {words}"]
    assert "f.body: is too long" in told("http_body", body="x" * 2_000_000)[0]
    assert told("http_body", body=None) == ["f.body: is missing"]
    assert "f.for: is missing" in told("http_body", **{"for": None})[0]


@pytest.mark.parametrize(("one", "other", "meet"), [
    ("*", "/a", True), ("/a", "/a", True), ("/a", "/b", False), ("/a*", "/b*", False), ("/a/*", "/*/b", True),
    ("/a/*", "/a", False), ("/a*", "/a", True), ("/*.json", "/a*", True), ("/*.json", "/*.xml", False),
    ("/a?x=1", "/a", True), ("/a?x=1", "/a?x=2", False), ("/a?x=1", "/b*", False), ("**", "/", True),
])  # fmt: skip
def test_routes_that_meet(one: str, other: str, meet: bool) -> None:
    assert routes_meet(one, other) is routes_meet(other, one) is meet


def test_routes_meet_where_the_proxy_matches_one_path_with_both() -> None:
    paths = ["".join(letters) for size in range(6) for letters in itertools.product("/ab", repeat=size)]
    patterns = ["/a", "/*", "/a*", "*b", "/*a", "*a*", "/a*b", "/*/a", "*", "/**b", "/ab*ba"]
    for one, other in itertools.product(patterns, repeat=2):
        both = any(glob_matches(one, path) and glob_matches(other, path) for path in paths)
        assert routes_meet(one, other) is both, (one, other)


def test_which_faults_clash() -> None:
    def clash(one: Fault, other: Fault) -> str:
        assert one.clashes_with(other) == other.clashes_with(one)
        return one.clashes_with(other)

    status, body, delay = (parsed(kind) for kind in ("http_status", "http_body", "http_delay"))
    assert clash(delay, delay) == "both are http_delay on the same requests"
    assert clash(parsed("http_delay", route="/a*"), parsed("http_delay", route="/b*")) == ""
    assert clash(parsed("http_delay", method="GET"), parsed("http_delay", method="PUT")) == ""
    assert clash(status, body) == "both make the answer to the same requests"
    assert clash(parsed("http_status", route="/a"), parsed("http_body", route="/b")) == ""
    assert clash(status, delay) == ""
    down = parse_fault({"kind": "down", **COMMON}, "x")
    assert isinstance(down, Fault)
    assert down.clashes_with(delay)
    assert isinstance(status, HttpFault)
