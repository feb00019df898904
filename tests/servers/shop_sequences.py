"""The shortest sequences known that show the planted defects of the demo shop, and how tests run them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from invariants import StateInvariant, Step
from invariants.bindings import Bound
from invariants.targets.shop_requests import MANY_ORDERS, ORDER, REVIEWS

PLANS = Path(__file__).parents[2] / "locustfiles" / "plans"
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
