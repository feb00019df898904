"""Faults on clocks as they are written in a plan, and what they do to a clock as time goes by."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.faults.clock import ClockDrift, ClockFault, ClockFreeze, ClockJump, ClockSkew
from chaos_locust.faults.registry import parse_fault


def parsed(**data: Any) -> ClockFault:
    fault = parse_fault({"name": "it", "target": "shop", "at": "1s", "for": "20s", **data}, "faults[0]")
    assert isinstance(fault, ClockFault), fault
    return fault


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"kind": "clock_skew", "offset": "120s"}, {"offset": "120s"}),
        ({"kind": "clock_skew", "offset": "-1h"}, {"offset": "-3600s"}),
        ({"kind": "clock_skew", "offset_s": -0.25}, {"offset": "-250ms"}),
        ({"kind": "clock_jump", "offset": "+30s"}, {"offset": "30s", "every": "4s"}),
        ({"kind": "clock_jump", "offset": "-30s", "every": "1s"}, {"offset": "-30s", "every": "1s"}),
        ({"kind": "clock_drift", "rate": "-0.5%"}, {"rate": "-0.5%"}),
        ({"kind": "clock_freeze"}, {}),
    ],
)
def test_what_is_written_is_read_back(data: dict[str, Any], shown: dict[str, Any]) -> None:
    fault = parsed(**data)
    assert fault.to_json().items() >= shown.items()
    assert parse_fault(fault.to_json(), "x") == fault


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"kind": "clock_skew"}, "offset: is missing"),
        ({"kind": "clock_skew", "offset": "0s"}, "offset: '0' is not allowed; give more than zero"),
        ({"kind": "clock_skew", "offset": "-0s"}, "offset: '0' is not allowed; give more than zero"),
        ({"kind": "clock_skew", "offset": -120}, "offset: '-120' is a bare number; give a duration"),
        ({"kind": "clock_skew", "offset": "--5s"}, "offset: '-5s' is no duration"),
        ({"kind": "clock_skew", "offset": True}, "offset: 'True' is no duration"),
        ({"kind": "clock_jump", "offset": "5s", "every": "1.5s"}, "every: '1.5s' is not allowed; give whole"),
        ({"kind": "clock_drift", "rate": "0%"}, "rate: '0%' is not allowed; give more than 0%, up to 50%"),
        ({"kind": "clock_drift", "rate": "51%"}, "rate: '51%' is not allowed; give more than 0%, up to 50%"),
        ({"kind": "clock_drift", "rate": "fast"}, "rate: 'fast' is no share"),
        ({"kind": "clock_drift", "rate": True}, "rate: 'True' is no share"),
    ],
)
def test_mistakes_are_told(data: dict[str, Any], said: str) -> None:
    problems = parse_fault({"name": "it", "target": "shop", "at": "1s", "for": "20s", **data}, "faults[0]")
    assert isinstance(problems, list)
    (problem,) = problems
    assert str(problem).startswith(f"faults[0].{said}")


def test_how_far_ahead_a_clock_is() -> None:
    times = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
    skew = parsed(kind="clock_skew", offset="-120s")
    assert isinstance(skew, ClockSkew)
    assert [skew.offset_at(t) for t in times] == [-120.0] * 6
    jump = parsed(kind="clock_jump", offset="1h", every="2s")
    assert isinstance(jump, ClockJump)
    assert [jump.offset_at(t) for t in times] == [3600, 3600, 0, 0, 3600, 0]
    drift = parsed(kind="clock_drift", rate="-2%")
    assert isinstance(drift, ClockDrift)
    assert [drift.offset_at(t) for t in times] == [0, -0.01, -0.02, -0.03, -0.04, -0.06]
    freeze = parsed(kind="clock_freeze")
    assert isinstance(freeze, ClockFreeze)
    assert freeze.offset_at(5.0) is None


def test_a_target_has_one_clock() -> None:
    assert parsed(kind="clock_freeze").clashes_with(parsed(kind="clock_drift", rate="1%"))
