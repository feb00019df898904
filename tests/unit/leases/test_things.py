"""What targets really are: when two runs are at the same thing, and when they are not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.leases.things import meet, things_of
from chaos_locust.plan.documents import parse_plan

FAULTS: dict[str, dict[str, Any]] = {
    "link": {"kind": "latency", "latency": "9ms"},
    "pidfile": {"kind": "pause"},
    "addresses": {"kind": "packet_loss", "share": "10%"},
    "path": {"kind": "file_missing"},
    "clock": {"kind": "clock_skew", "by": "1h"},
    "postgres": {"kind": "postgres_terminate_backends"},
    "redis": {"kind": "redis_pause"},
}


def things(target: dict[str, Any], need: str, **keys: Any) -> set[tuple[str, str]]:
    fault = {"name": "fault", "target": "it", "at": "1s", "for": "1s", **FAULTS[need]}
    plan = {"name": "x", "allow": ["10.0.0.0/8"], "targets": {"it": target}, "faults": [fault], **keys}
    return set(things_of(parse_plan(plan, {})))


def same(one: dict[str, Any], other: dict[str, Any], need: str) -> bool:
    first, second = things(one, need), things(other, need)
    assert first
    assert second
    return any(meet(a, b) for a in first for b in second)


def test_proxies_are_told_by_api_and_name() -> None:
    here = things({"proxy": "db"}, "link", proxy_api="http://127.0.0.1:8474")
    assert here & things({"proxy": "db"}, "link", proxy_api="http://localhost:8474/")
    assert not here & things({"proxy": "db"}, "link", proxy_api="http://127.0.0.1:8475")
    assert not here & things({"proxy": "web"}, "link", proxy_api="http://127.0.0.1:8474")


def test_made_proxies_are_told_by_where_they_listen() -> None:
    one = {"upstream": "127.0.0.1:5432", "listen": "127.0.0.1:15432"}
    assert same(one, {**one, "upstream": "127.0.0.1:1"}, "link")
    assert not same(one, {**one, "listen": "127.0.0.1:15433"}, "link")


def test_processes_are_told_by_who_they_are(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(str(os.getpid()))
    (tmp_path / "other").write_text(str(os.getppid()))
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    one, two, other = ({"pidfile": str(tmp_path / name)} for name in ("one", "two", "other"))
    assert same(one, two, "pidfile")
    assert not same(one, other, "pidfile")
    gone, link = {"pidfile": str(tmp_path / "gone")}, {"pidfile": str(tmp_path / "link")}
    assert same(gone, link, "pidfile"), "before its process is there a pid file is one thing already"


def test_addresses_that_overlap() -> None:
    one = {"addresses": ["10.0.0.1:80", "10.0.0.2:80"]}
    assert same(one, {"addresses": ["10.0.0.2:80", "10.0.0.3:80"]}, "addresses")
    assert not same(one, {"addresses": ["10.0.0.2:81"]}, "addresses")
    assert not same(one, {"addresses": ["10.0.0.2:80"], "namespace": "blue"}, "addresses")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("/data/a", "/data/a", True),
        ("/data/a", "/data", True),
        ("/data", "/data/a/b", True),
        ("/data/a", "/data/ab", False),
        ("/data/../srv/a", "/srv/a", True),
    ],
)
def test_paths_that_overlap(one: str, other: str, expected: bool) -> None:
    assert same({"path": one}, {"path": other}, "path") is expected


@pytest.mark.parametrize(
    ("need", "one", "other", "expected"),
    [
        ("postgres", "postgres://a@127.0.0.1/x", "postgresql://b@localhost:5432/y", True),
        ("postgres", "postgres://127.0.0.1:5432/x", "postgres://127.0.0.1:5433/x", False),
        ("redis", "redis://127.0.0.1/0", "valkey://127.0.0.1:6379/1", True),
        ("redis", "redis://127.0.0.1:6380", "redis://127.0.0.1:6379", False),
    ],
)
def test_servers_are_told_by_their_address(need: str, one: str, other: str, expected: bool) -> None:
    assert same({need: one}, {need: other}, need) is expected
    assert not any("secret" in which for _, which in things({need: one}, need))


def test_what_no_fault_touches_is_not_claimed() -> None:
    fault = {"name": "fault", "target": "it", "at": "1s", "for": "1s", **FAULTS["path"]}
    targets = {"it": {"path": "/data", "postgres": "postgres://127.0.0.1"}, "other": {"proxy": "db"}}
    assert set(things_of(parse_plan({"name": "x", "targets": targets, "faults": [fault]}, {}))) == {
        ("path", "/data")
    }
