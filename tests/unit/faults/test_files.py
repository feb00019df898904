"""Faults on files as they are written in a plan."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.faults.base import Fault
from chaos_locust.faults.files import FAULTS
from chaos_locust.faults.registry import parse_fault


def parsed(**data: Any) -> Fault:
    fault = parse_fault({"name": "it", "target": "disk", "at": "1s", "for": "2s", **data}, "faults[0]")
    assert isinstance(fault, Fault), fault
    return fault


@pytest.mark.parametrize(
    "data",
    [
        {"kind": "disk_full"},
        {"kind": "disk_full", "leave": "1MB"},
        {"kind": "inodes", "leave": 10},
        {"kind": "slow_io", "latency": "50ms", "calls": "sync"},
        {"kind": "io_error", "error": "ENOSPC", "calls": "write"},
        {"kind": "file_corrupt", "runs": 3},
        {"kind": "file_truncate", "size": "4KB"},
        {"kind": "file_missing"},
        {"kind": "read_only"},
        {"kind": "permission_denied"},
    ],
)
def test_what_is_written_is_read_back(data: dict[str, Any]) -> None:
    fault = parsed(**data)
    assert parse_fault(fault.to_json(), "x") == fault
    assert fault.to_json().items() >= data.items()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"kind": "disk_full", "leave": "0B"}, "faults[0].leave: '0' is not allowed; give more than zero"),
        (
            {"kind": "disk_full", "leave": 5},
            "faults[0].leave: '5' is a bare number; give a size, such as 5KB",
        ),
        (
            {"kind": "inodes", "leave": -1},
            "faults[0].leave: '-1' is not allowed; input should be greater than or equal to 0",
        ),
        ({"kind": "slow_io"}, "faults[0].latency: is missing"),
        (
            {"kind": "slow_io", "latency": "2min"},
            "faults[0].latency: '120s' is not allowed; give 1us to 60s",
        ),
        (
            {"kind": "io_error", "error": "EPERM"},
            "faults[0].error: 'EPERM' is not allowed; allowed: 'EIO', 'ENOSPC', 'EDQUOT', 'EROFS'",
        ),
        (
            {"kind": "slow_io", "latency": "1ms", "calls": "open"},
            "faults[0].calls: 'open' is not allowed; allowed: 'all', 'read', 'write', 'sync'",
        ),
        (
            {"kind": "file_corrupt", "runs": 0},
            "faults[0].runs: '0' is not allowed; input should be greater than or equal to 1",
        ),
    ],
)
def test_mistakes_are_told(data: dict[str, Any], said: str) -> None:
    problems = parse_fault({"name": "it", "target": "disk", "at": "1s", "for": "2s", **data}, "faults[0]")
    assert isinstance(problems, list)
    assert [str(problem) for problem in problems] == [said]


def test_which_cannot_act_together() -> None:
    def clash(one: str, other: str) -> bool:
        more = {"slow_io": {"latency": "1ms"}}
        first, second = (parsed(kind=kind, **more.get(kind, {})) for kind in (one, other))
        return bool(first.clashes_with(second) or second.clashes_with(first))

    assert clash("slow_io", "io_error")
    assert clash("file_corrupt", "file_missing")
    assert clash("disk_full", "file_truncate")
    assert clash("disk_full", "inodes")
    assert clash("read_only", "read_only")
    assert not clash("slow_io", "disk_full")
    assert not clash("slow_io", "file_corrupt")


def test_every_kind_says_how_it_ends_and_what_its_parameters_mean() -> None:
    for cls in FAULTS:
        assert cls.undo
        assert cls.effect_text
        assert cls.needs[0] == "path"
        own = set(cls.model_fields) - set(Fault.model_fields)
        assert all(cls.model_fields[name].description for name in own), cls.kind
