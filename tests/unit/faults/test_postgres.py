"""PostgreSQL fault kinds as data."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaos_locust.faults.postgres import FAULTS, PostgresFault, PostgresTerminateBackends
from chaos_locust.faults.registry import parse_fault

COMMON = {"name": "x", "target": "db", "at": "40s", "for": "15s"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "postgres_unavailable": {},
    "postgres_refuse_connections": {},
    "postgres_exhaust_connections": {"leave": 2},
    "postgres_slow_connect": {"delay": "2s"},
    "postgres_slow_queries": {"table": "orders", "delay": "300ms"},
    "postgres_lock_table": {"table": "shop.orders", "mode": "SHARE"},
    "postgres_lock_row": {"table": "orders", "key": "id", "value": 7},
    "postgres_terminate_backends": {"every": "500ms", "share": "25%", "user": "app", "application": "shop"},
    "postgres_drop_index": {"index": "orders_by_user"},
    "postgres_work_mem": {"work_mem": "128KiB", "scope": "database"},
    "postgres_statement_timeout": {"limit": "50ms"},
    "postgres_read_only": {},
    "postgres_serialization_failures": {"table": "orders", "share": "10%"},
    "postgres_replication_lag": {},
}


def document(kind: str, **changes: Any) -> dict[str, Any]:
    return {"kind": kind, **COMMON, **EXAMPLES.get(kind, {}), **changes}


def fault(kind: str, **changes: Any) -> PostgresFault:
    found = parse_fault(document(kind, **changes), "faults[0]")
    assert isinstance(found, PostgresFault), found
    return found


def told(kind: str, **changes: Any) -> str:
    found = parse_fault(document(kind, **changes), "faults[0]")
    assert isinstance(found, list), f"accepted: {found}"
    (problem,) = found
    return str(problem)


def test_all_kinds_are_known() -> None:
    assert {cls.kind for cls in FAULTS} == set(EXAMPLES)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_it_reads_back_as_it_was(kind: str) -> None:
    one = fault(kind)
    assert parse_fault(json.loads(json.dumps(one.to_json())), "x") == one


def test_what_is_not_said() -> None:
    ends = parse_fault({"kind": "postgres_terminate_backends", **COMMON}, "x")
    assert isinstance(ends, PostgresTerminateBackends)
    assert (ends.every_s, ends.share, ends.user, ends.application) == (1.0, 1.0, None, None)
    work_mem = parse_fault({"kind": "postgres_work_mem", **COMMON}, "x")
    assert isinstance(work_mem, PostgresFault)
    assert work_mem.to_json()["work_mem"] == "65536B"
    assert work_mem.to_json()["scope"] == "server"


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("postgres_lock_table", {"table": ""}, "faults[0].table"),
        ("postgres_lock_table", {"mode": "GENTLE"}, "ACCESS EXCLUSIVE"),
        ("postgres_exhaust_connections", {"leave": -1}, "faults[0].leave"),
        ("postgres_exhaust_connections", {"leave": 1.5}, "faults[0].leave"),
        ("postgres_slow_connect", {"delay": "31s"}, "give 30s at most"),
        ("postgres_slow_queries", {"delay": "0s"}, "more than zero"),
        ("postgres_terminate_backends", {"every": "50ms"}, "give 100ms or more"),
        ("postgres_terminate_backends", {"share": "0%"}, "above 0%"),
        ("postgres_work_mem", {"work_mem": "32KiB"}, "64KiB or more"),
        ("postgres_work_mem", {"work_mem": "65537B"}, "whole KiB"),
        ("postgres_work_mem", {"scope": "role"}, "server"),
        ("postgres_statement_timeout", {"limit": "1500us"}, "whole milliseconds"),
        ("postgres_serialization_failures", {"share": "101%"}, "101%"),
        ("postgres_read_only", {"for": None}, "say how long"),
    ],
    ids=str,
)
def test_mistakes(kind: str, changes: dict[str, Any], words: str) -> None:
    assert words in told(kind, **changes)


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (("postgres_lock_table", {"table": "a"}), ("postgres_lock_table", {"table": "b"}), False),
        (("postgres_lock_table", {"table": "a"}), ("postgres_lock_row", {"table": "a"}), True),
        (
            ("postgres_slow_queries", {"table": "a"}),
            ("postgres_serialization_failures", {"table": "a"}),
            True,
        ),
        (("postgres_lock_table", {}), ("postgres_exhaust_connections", {}), False),
        (("postgres_unavailable", {}), ("postgres_read_only", {}), True),
        (("postgres_read_only", {}), ("postgres_refuse_connections", {}), True),
        (("postgres_drop_index", {"index": "a"}), ("postgres_drop_index", {"index": "b"}), False),
        (("postgres_drop_index", {"index": "a"}), ("postgres_drop_index", {"index": "a"}), True),
        (("postgres_work_mem", {}), ("postgres_work_mem", {}), True),
        (("postgres_work_mem", {}), ("postgres_statement_timeout", {}), False),
    ],
    ids=str,
)
def test_which_cannot_act_together(one: Any, other: Any, clash: bool) -> None:
    first, second = fault(one[0], **one[1]), fault(other[0], **other[1])
    assert bool(first.clashes_with(second) or second.clashes_with(first)) is clash
