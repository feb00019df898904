"""How much may be broken at the same moment."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.errors import InvalidPlan
from chaos_locust.plan.check import check_plan
from chaos_locust.plan.documents import parse_plan

TARGETS = {name: {"proxy": name} for name in ("one", "two", "three", "four")}


def latency(name: str, target: str, at: str = "40s", lasts: str = "10s", **more: Any) -> dict[str, Any]:
    when = {} if "when" in more else {"at": at}
    return {
        "name": name,
        "kind": "latency",
        "target": target,
        "latency": "9ms",
        "for": lasts,
        **when,
        **more,
    }


def problems(faults: list[dict[str, Any]], limits: dict[str, Any], load: bool = True) -> list[str]:
    plan: dict[str, Any] = {
        "name": "limits",
        "host": "http://127.0.0.1:1",
        "targets": TARGETS,
        "limits": limits,
        "faults": faults,
    }
    if load:
        plan["load"] = [{"step": "base", "rate": "50/s", "for": "120s"}]
    return [str(each) for each in check_plan(parse_plan(plan, {})).problems]


THREE = [latency(name, name) for name in ("one", "two", "three")]


@pytest.mark.parametrize("load", [True, False])
def test_too_many_at_a_time(load: bool) -> None:
    (told,) = problems(THREE, {"concurrent_faults": 2}, load)
    assert told.startswith("faults[0]: 3 faults can act together at 40s (one, two, three)")
    assert "limits.concurrent_faults is 2" in told
    assert problems(THREE, {"concurrent_faults": 3}, load) == []


def test_one_after_the_other_is_one_at_a_time() -> None:
    faults = [latency("one", "one"), latency("two", "two", at="50s"), latency("three", "three", at="60s")]
    assert problems(faults, {"concurrent_faults": 1}) == []
    faults[1]["at"] = "49s"
    (told,) = problems(faults, {"concurrent_faults": 1})
    assert told.startswith("faults[1]: 2 faults can act together at 49s (one, two)")


def test_too_large_a_share_of_the_targets() -> None:
    (told,) = problems(THREE, {"targets": "50%"})
    assert told.startswith("faults[0]: 3 of 4 targets can have faults together at 40s (one, two, three)")
    assert problems(THREE, {"targets": "75%"}) == []
    more = {"direction": "upstream"}
    assert problems([THREE[0], latency("again", "one", **more)], {"targets": "1%"}) == [], "one always may"


def test_an_instant_fault_counts_at_its_moment() -> None:
    kill = {"name": "kill", "kind": "redis_flush", "target": "store", "at": "45s"}
    targets = {**TARGETS, "store": {"redis": "redis://127.0.0.1:1"}}
    plan: dict[str, Any] = {
        "name": "limits",
        "host": "http://127.0.0.1:1",
        "targets": targets,
        "limits": {"concurrent_faults": 1},
        "faults": [THREE[0], kill],
        "load": [{"step": "base", "rate": "50/s", "for": "120s"}],
    }
    (told,) = [str(each) for each in check_plan(parse_plan(plan, {})).problems]
    assert told.startswith("faults[1]: 2 faults can act together at 45s (one, kill)")


def test_one_that_waits_counts_from_when_it_can_come() -> None:
    waits = latency("waits", "two", when="steady for 10s")
    (told,) = problems([latency("late", "one", at="90s"), waits], {"concurrent_faults": 1})
    assert "2 faults can act together at 1min 30s" in told or "at 90s" in told
    after = latency("after", "two", when="one over for 5s")
    assert problems([latency("one", "one"), after], {"concurrent_faults": 1}) == []


def test_by_default_five_at_a_time() -> None:
    kinds: list[dict[str, Any]] = [
        {"kind": "latency", "latency": "9ms"},
        {"kind": "slicer", "size": "100B"},
        {"kind": "limit", "bytes": "1MB"},
    ]
    faults = []
    for index in range(6):
        target = ("one", "two")[index // 3]
        base = {"name": f"f{index}", "target": target, "at": "40s", "for": "10s"}
        faults.append(base | kinds[index % 3])
    (told,) = problems(faults, {})
    assert "6 faults can act together" in told
    assert problems(faults[:5], {}) == []


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"concurrent_faults": 0}, "limits.concurrent_faults: '0' is not allowed"),
        ({"targets": "0%"}, "limits.targets: '0%' is not allowed"),
        ({"targets": "101%"}, "limits.targets"),
        ({"faults": 2}, "limits.faults: 'faults' is no key here"),
    ],
)
def test_limits_that_are_none(limits: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidPlan) as error:
        problems(THREE, limits)
    assert told in str(error.value)
