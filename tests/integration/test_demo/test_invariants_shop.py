"""The demo shop keeps what is bound to it, and each planted defect breaks its invariant.

`known` of each case is the shortest sequence known. That a search finds it is the business of the bench
(`python -m bench.invariants_shop`); here one defect is searched for as users do it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.demo.settings import DEFECTS
from invariants import StateInvariant, Step
from invariants.bindings import Bound
from invariants.state_invariant import InvalidSetting
from invariants.targets.shop import BINDINGS
from invariants.targets.shop_requests import MANY_ORDERS, ORDER, REVIEWS

PLANS = Path(__file__).parents[3] / "locustfiles" / "plans"
POSTGRES_AWAY = PLANS / "postgres-unavailable.yaml"
LIMIT_S = 300


def inject(fault: str) -> dict[str, Any]:
    return {"rule": "inject", "fault": fault}


def do(rule: str, **arguments: Any) -> dict[str, Any]:
    return {"rule": rule, "arguments": arguments}


PARTS = {f"{part}-1": 1 for part in ("first", "second", "third")}
LIST, ONE = do("request", value="GET /products"), do("request", value="GET /products/1")
KNOWN = {
    "breaker-stuck-open": (
        "circuit_breaker_never_stuck_open",
        [do("break_dependency"), do("calls", times=10, timeouts=0.0)],
    ),
    "no-timeout": ("requests_end_in_time", [inject("payments-hang"), do("request", value=ORDER)]),
    "cache-required": ("requests_are_answered", [inject("cache-down"), LIST]),
    "lost-order": ("transactions_are_atomic", [inject("database-away"), do("transaction", value=PARTS)]),
    "double-charge": ("tasks_run_once", [inject("payments-slow"), do("request", value=1)]),
    "stale-cache": ("cache_stays_consistent", [do("write", key="a", value=1), do("read", key="a")]),
    "trusts-cache": ("requests_are_answered", [ONE, inject("cache-spoiled"), ONE]),
    "connects-once": ("requests_are_answered", [LIST, inject("cache-disconnects"), LIST]),
    "cache-as-store": ("requests_are_answered", [LIST, inject("cache-flushed"), LIST]),
    "drops-keys": (
        "tokens_are_checked",
        [inject("identity-down"), do("bad", value="unknown_key"), do("good", value="known")],
    ),
    "stale-keys": ("tokens_are_checked", [do("good", value="of a new key")]),
    "unchecked-tokens": ("tokens_are_checked", [do("bad", value="tampered")]),
    "leaky-pool": ("service_recovers", [inject("database-away"), do("request", value=ORDER)]),
    "no-pool": ("requests_are_answered", [inject("no-newcomers"), do("request", value=MANY_ORDERS)]),
    "stale-connections": ("service_recovers", [inject("database-away"), do("request", value=ORDER)]),
    "no-retry": ("requests_are_answered", [inject("orders-collide"), do("request", value=MANY_ORDERS)]),
    "orders-in-line": ("nobody_waits_for_others", [inject("product-locked"), do("overtake")]),
    "reviews-uncached": ("requests_are_answered", [inject("reviews-locked"), do("request", value=REVIEWS)]),
}


def known(defect: str) -> list[Step]:
    return [Step.from_json({"number": number, **step}) for number, step in enumerate(KNOWN[defect][1])]


def prepared(name: str, bound: Bound) -> StateInvariant:
    invariant = StateInvariant.named(name, bound.target, **bound.options).with_kept_in(None).with_seed(1)
    return invariant if bound.faults is None else invariant.with_faults(bound.faults)


@contextmanager
def addressed(shop: Any) -> Iterator[None]:
    """The variables that the shop tells, as users set them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shop.ready["env"].items():
            patch.setenv(name, value)
        yield


def command(shop: Any, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-c", "from chaos_locust.cli import main; main()", "invariants", *arguments]
    return run(shop, folder, start)


def run(shop: Any, folder: Path, start: list[str]) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(PLANS.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **shop.ready["env"], "PYTHONPATH": path}
    return subprocess.run(
        start, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def test_there_is_an_invariant_for_every_defect():
    assert set(KNOWN) == set(DEFECTS)
    assert {name for name, _ in KNOWN.values()} <= set(BINDINGS)


@pytest.mark.parametrize("name", BINDINGS)
def test_the_healthy_shop_keeps_what_is_bound_to_it(shop, name):
    bound = BINDINGS[name]
    with addressed(shop):
        iterations = (bound.iterations or 100) if bound.faults is None else 6
        result = prepared(name, bound).with_iterations(iterations).with_budget("120s").verify()
    assert not result.violations, result.violations[0].title
    assert result.iterations > 0


@pytest.mark.parametrize("defect", KNOWN)
def test_the_healthy_shop_bears_what_shows_the_defects(shop, defect):
    name = KNOWN[defect][0]
    with addressed(shop):
        replayed = prepared(name, BINDINGS[name]).replay(known(defect), tries=1)
    assert replayed.failed == 0


@pytest.mark.parametrize("defect", KNOWN)
def test_each_defect_breaks_its_invariant_again_and_again(start_shop, defect):
    name = KNOWN[defect][0]
    with addressed(start_shop(defect)):
        invariant = prepared(name, BINDINGS[name])
        replayed = invariant.replay(known(defect), tries=2)
    assert replayed.failed > 0


def test_a_defect_is_found_by_the_command_and_its_test_fails_until_it_is_mended(shop, start_shop, tmp_path):
    broken = start_shop("stale-cache")
    found = command(broken, tmp_path, "run", "cache_stays_consistent", "--seed", "3", "--output", "out")
    assert found.returncode == 3, found.stdout + found.stderr
    assert "DEVIATED" in found.stdout
    (test,) = tmp_path.glob("out/*/test_cache_stays_consistent.py")
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    assert run(broken, tmp_path, pytest_).returncode == 1
    assert run(shop, tmp_path, pytest_).returncode == 0


def test_a_lost_order_is_found_only_under_the_fault_and_the_fault_is_named(start_shop, tmp_path):
    shop, queue = start_shop("lost-order"), "queue_never_loses_messages"
    # A machine that is so busy that the database does not answer in time loses orders, too.
    without = [command(shop, tmp_path, "run", queue, "--seed", "3", "--iterations", "20") for _ in range(3)]
    assert 0 in [run.returncode for run in without], without[-1].stdout
    with_ = ["--chaos-plan", str(POSTGRES_AWAY), "--iterations", "30", "--output", "with"]
    found = command(shop, tmp_path, "run", queue, "--seed", "3", *with_, "--json")
    assert found.returncode == 3, found.stdout + found.stderr
    assert '"necessary_faults":["database-away"]' in "".join(found.stdout.split())


def test_where_no_shop_is_nothing_is_said(tmp_path):
    nobody = {"SHOP_URL": "http://127.0.0.1:9"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_URL", nobody["SHOP_URL"])
        result = prepared("error_rate_limited", BINDINGS["error_rate_limited"]).verify()
    assert result.outcome == "INCONCLUSIVE"
    assert "chaos-locust demo serve" in result.inconclusive


def test_options_are_those_of_the_invariant():
    with pytest.raises(InvalidSetting, match="tries"):
        StateInvariant.named("requests_are_answered", BINDINGS["requests_are_answered"].target, limit=1)
