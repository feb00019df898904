"""What a container fault may say."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.errors import InvalidPlan
from chaos_locust.faults.base import Fault
from chaos_locust.faults.containers import FAULTS
from chaos_locust.faults.registry import KINDS, parse_fault

NEEDED: dict[str, dict[str, Any]] = {
    "container_cpu": {"cpus": 0.5},
    "container_memory": {"memory": "64MiB"},
}


def make(kind: str, **parameters: Any) -> Fault:
    lasting = {} if KINDS[kind].instant else {"for": "10s"}
    data = {"kind": kind, "name": "it", "target": "web", "at": "1s", **lasting, **parameters}
    fault = parse_fault(data, "")
    if isinstance(fault, list):
        raise InvalidPlan(fault)
    return fault


@pytest.mark.parametrize("kind", [fault.kind for fault in FAULTS])
def test_written_and_read_back(kind: str) -> None:
    fault = make(kind, **NEEDED.get(kind, {}))
    assert parse_fault(fault.to_json(), "") == fault
    assert fault.needs == ("container",)


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("container_kill", {"signal": "HUP"}, "signal: 'HUP' is not allowed"),
        ("container_kill", {"for": "1s"}, "for: a container_kill happens at once"),
        (
            "container_stop",
            {"grace": "1500ms"},
            "grace: '1.5s' is not allowed; give whole seconds",
        ),
        ("container_stop", {"grace": "11s"}, "grace: '11s' is not allowed"),
        ("container_cpu", {}, "cpus: is missing"),
        ("container_cpu", {"cpus": 0}, "cpus: '0' is not allowed; give 0.01 at least"),
        ("container_memory", {"memory": "1MB"}, "memory: '1MB' is not allowed; Docker takes 6MiB at least"),
        ("container_memory", {"memory": 64}, "memory: '64' is a bare number"),
        ("container_disconnect", {"network": ""}, "network: '' is not allowed"),
    ],
)
def test_refused(kind: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidPlan) as raised:
        make(kind, **parameters)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("container_pause", "container_cpu", True),
        ("container_disconnect", "container_stop", True),
        ("container_cpu", "container_cpu", True),
        ("container_cpu", "container_memory", False),
    ],
)
def test_together(one: str, other: str, clash: bool) -> None:
    first, second = (make(kind, **NEEDED.get(kind, {})) for kind in (one, other))
    assert bool(first.clashes_with(second) or second.clashes_with(first)) is clash
