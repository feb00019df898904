"""An audit of the shop says what its measures say one by one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from compliance.auditor import Auditor, unseen_on_bad
from compliance.catalogue import load
from compliance.checks import checks, judge
from compliance.measurement import Measurement
from compliance.measures.registry import measures
from compliance.target import load_target


def said(measurement: Measurement) -> dict[str, Any]:
    """But for durations and ages, which no two measurements share."""
    same = {
        name: each
        for name, each in measurement.value.items()
        if not isinstance(each, float) and not name.endswith("_s")
    }
    return {"status": measurement.status, "reason": measurement.reason, **same}


@pytest.mark.long
def test_an_audit_says_what_its_measures_say_one_by_one(shop: Any) -> None:
    """Without those that lock out, which could not be taken twice."""
    target = load_target(Path(shop.ready["env"]["SHOP_TARGET"]), {**os.environ, **shop.ready["env"]})
    fisma = load("fisma")
    profile = fisma.profile("high")
    result = Auditor(target).audit(fisma, profile)
    one_by_one = Auditor(target)
    taken = {name: one_by_one.measure(name) for name in measures() if name in result.measurements}
    assert {name: said(each) for name, each in result.measurements.items()} == {
        name: said(each) for name, each in taken.items()
    }
    assert list(result.measurements) == sorted(taken)
    audited = {each.check.id: each.answer for judged in result.controls for each in judged.outcomes}
    expected, on_bad = {}, dict[str, Measurement]()
    for name in audited:
        check = checks()[name]
        expected[name] = judge(check, taken[check.measure], profile.parameters).answer
        if expected[name] == "held":
            if check.measure not in on_bad:
                on_bad[check.measure] = one_by_one.measure_on_bad(check.measure)
            assert not unseen_on_bad(check, on_bad[check.measure], profile.parameters)
    assert audited == expected
    assert "held" in audited.values()
    assert set(result.on_bad) == set(on_bad)
