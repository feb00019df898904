"""What readings of a clock prove."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.clock.effect import clock_effect
from chaos_locust.backends.clock.file import Setting
from chaos_locust.faults.base import Fault
from chaos_locust.faults.registry import parse_fault


def fault(kind: str, **more: Any) -> Fault:
    found = parse_fault({"kind": kind, "name": "it", "target": "t", "at": "1s", "for": "9s", **more}, "")
    assert isinstance(found, Fault)
    return found


SKEW, DRIFT = fault("clock_skew", offset="120s"), fault("clock_drift", rate="2%")


def reading(
    set_s: float | None = 0.0, date: float | None = -0.5, ahead_s: float | None = None, **more: Any
) -> Reading:
    ahead_s = set_s if ahead_s is None else ahead_s
    probe = None if ahead_s is None else (ahead_s - 0.005, ahead_s + 0.005)
    use = {
        "at_s": 0.0, "ports": [80], "received": 0, "connections": 0, "own": (0, 0), "link": None, "error": "",
        "cpu_s": None, "pid": 7, "state": "S",
    }  # fmt: skip
    found = {
        "at_s": 0.0,
        "set": set_s,
        "age_s": 5.0,
        "date": date,
        "probe": probe,
        "under": True,
        "error": "",
    }
    return found | {"use": use | {"received": more.pop("received", 0)}} | more


def seen(during: list[Reading], kind: Fault = SKEW, before: list[Reading] | None = None) -> Effect:
    return clock_effect(kind, [reading(), reading()] if before is None else before, during)


def test_by_the_date_header() -> None:
    effect = seen([reading(120, 119.2), reading(120, 119.9)])
    assert effect.mechanism is True
    assert "the target's Date header was 119.90 s ahead (seen 2 of 2 times)" in effect.detail
    assert seen([reading(120, -0.5), reading(120, -0.5)]).mechanism is False, "the file alone proves nothing"
    assert seen([reading(120, 60), reading(120, 60)]).mechanism is False


def test_a_header_that_was_off_before_proves_nothing() -> None:
    assert seen([reading(120, 119.5)], before=[reading(0, 119.5)]).mechanism is None


def test_a_header_of_before_the_step_is_not_asked() -> None:
    effect = seen([reading(120, -0.5, age_s=0.4), reading(120, 119.5)])
    assert effect.mechanism is True


@pytest.mark.parametrize(("date", "why"), [(-0.5, "cannot show so little"), (None, "sends no Date header")])
def test_by_a_process_under_the_same_clock(date: float | None, why: str) -> None:
    during = [reading(0.0, date), reading(0.04, date), reading(0.08, date)]
    effect = seen(during, DRIFT)
    assert effect.mechanism is True
    assert why in effect.detail
    assert seen([reading(0.2, date, ahead_s=0.1)], DRIFT).mechanism is False


def test_what_cannot_be_told() -> None:
    assert seen([]).mechanism is None
    assert seen([reading(0.001, None)], DRIFT).mechanism is None, "too little to be seen"
    unknown = seen([reading(None, None, error="no such file")])
    assert unknown.mechanism is None
    assert "no such file" in unknown.detail


def test_a_process_that_has_another_clock() -> None:
    assert seen([reading(120, 119.5, under=False)]).mechanism is False


def test_use_is_that_of_the_process() -> None:
    assert seen([reading(120, 119.5, received=10), reading(120, 119.5, received=90)]).use is True
    assert seen([reading(120, 119.5), reading(120, 119.5)]).use is False


def test_what_a_setting_says() -> None:
    assert Setting("+120.5", None, 0).now(1000.0) == 1120.5
    assert Setting("-3600", None, 0).now(10_000.0) == 6400.0
    assert Setting("1795273731", None, 0).now(1.0) == 1795273731.0
