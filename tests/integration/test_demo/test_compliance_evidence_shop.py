"""Accounts, readings, availability, orders and personal data of the shop, as an audit sees them: as it is
every check holds, each lapse turns its own."""

from __future__ import annotations

import os
import signal
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from compliance.auditor import Auditor, Times
from compliance.catalogue import FRAMEWORKS, load
from compliance.checks import Binding, checks, judge
from compliance.measurement import Measurement
from compliance.rollup import judged
from compliance.target import Target, load_target

PROFILES = [profile for name in FRAMEWORKS for profile in load(name).profiles.values()]
MEASURES = ("unused_accounts", "record_reads", "availability", "orders_processed", "erased_data")


@pytest.fixture(scope="module")
def target(shop: Any) -> Target:
    return load_target(Path(shop.ready["env"]["SHOP_TARGET"]), {**os.environ, **shop.ready["env"]})


def answers(found: Measurement) -> dict[str, set[str]]:
    """By check: what every profile of every framework says."""
    about = (each for each in checks().values() if each.measure == found.measure)
    return {
        each.id: {judge(each, found, profile.parameters).answer for profile in PROFILES} for each in about
    }


@pytest.mark.parametrize("measure", MEASURES)
def test_the_healthy_shop_holds_all_of_it(target: Target, measure: str) -> None:
    found = Auditor(target).measure(measure)
    assert (found.status, found.reason) == ("ok", "")
    said = answers(found)
    assert said == {check: {"held"} for check in said}, found.value


def test_orders_that_are_refused_are_not_judged(shop: Any, target: Target, until: Any) -> None:
    shop.order(product_id=7).raise_for_status()
    with shop.down("postgres"):
        found = Auditor(target).measure("orders_processed")
    assert until(shop.orders_work)
    assert found.status == "error"
    assert "no order was acknowledged" in found.reason


def test_a_shop_that_is_killed_in_the_window_is_not_as_available_as_promised(
    shop: Any, target: Target, until: Any
) -> None:
    assert target.availability is not None
    window = target.availability.model_copy(update={"window_s": 20.0})
    killed: list[int] = []

    def sleep(seconds: float) -> None:
        if not killed:
            killed.append(shop.pid("shop"))
            os.kill(killed[0], signal.SIGKILL)
        time.sleep(seconds)

    auditor = Auditor(target.model_copy(update={"availability": window}), times=Times(sleep=sleep))
    found = auditor.measure("availability")
    assert until(shop.is_ready, 30)
    assert killed
    value = found.value
    assert 0 < value["answered"] < value["samples"] == 300
    assert answers(found) == {"available-as-promised": {"failed"}}
    check = checks()["available-as-promised"]
    soc2 = load("soc2").profile("all")
    outcome = judge(check, found, soc2.parameters)
    assert f"({value['answered']} of 300), and 99.0 % are promised" in outcome.text
    rolled = judged(
        load("soc2").controls["A1.1"], [Binding(check.id, "partial")], {check.id: outcome}, (), date.today()
    )
    assert rolled.state == "non_compliant"


@pytest.mark.parametrize(
    ("lapse", "measure", "failed"),
    [
        ("reads-unlogged", "record_reads", {"record-reads-recorded"}),
        ("wrong-total", "orders_processed", {"orders-add-up"}),
        ("leftovers-after-erasure", "erased_data", {"erased-from-database", "erased-from-cache"}),
    ],
)
def test_a_lapse_turns_its_checks(
    shop: Any, target: Target, until: Any, lapse: str, measure: str, failed: set[str]
) -> None:
    shop.plant(lapse)

    def turned() -> set[str]:
        found = Auditor(target).measure(measure)
        assert (found.status, found.reason) == ("ok", "")
        said = answers(found)
        assert all(answer in ({"held"}, {"failed"}) for answer in said.values())
        return {check for check, answer in said.items() if answer == {"failed"}}

    if lapse == "leftovers-after-erasure":  # what is cached is cached if the cache is quick enough
        assert until(lambda: turned() == failed, 60)
    else:
        assert turned() == failed


def test_the_stale_account_is_the_evidence(shop: Any, target: Target) -> None:
    shop.plant("stale-account")
    found = Auditor(target).measure("unused_accounts")
    assert found.value["account"] == "olga"
    assert any("olga: enabled, and not used for 180.0 days" in text for text in found.evidence)
    fisma = load("fisma")
    check = checks()["unused-accounts-disabled"]
    outcome = judge(check, found, fisma.profile("high").parameters)
    assert outcome.answer == "failed"
    assert outcome.text.startswith("The account of olga can be used")
    assert "AC-2" in check.controls["nist"]


def test_orders_that_are_acknowledged_and_lost_are_found(shop: Any, target: Target, until: Any) -> None:
    shop.plant("lost-order")
    shop.order(product_id=7).raise_for_status()
    with shop.down("postgres"):
        found = Auditor(target).measure("orders_processed")
    assert until(shop.orders_work)
    assert (found.status, found.reason) == ("ok", "")
    assert len(found.value["missing"]) == found.value["acknowledged"] > 0
    assert answers(found)["orders-stored"] == {"failed"}
