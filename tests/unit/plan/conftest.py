"""The example plan, and plans that differ from a small one in a few keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos_locust.errors import InvalidPlan
from chaos_locust.plan.check import Checked, check_plan
from chaos_locust.plan.documents import parse_plan
from chaos_locust.plan.model import Plan

EXAMPLE = """
name: checkout survives a slow database and a lost payment service
host: http://127.0.0.1:8000
locustfile: locustfiles/shop.py
targets:
  postgres: {proxy: postgres}                 # a proxy of the Toxiproxy at proxy_api
  payments: {pidfile: ${SHOP_STATE}/payments.pid}
load:
  - {step: base, rate: 50/s, for: 60s}
  - {step: peak, rate: 100/s, for: 30s}
  - {step: after, rate: 50/s, for: 30s}
faults:
  - {name: slow-db, kind: latency, target: postgres, latency: 200ms, jitter: 50ms, at: 40s, for: 15s}
  - {name: kill-payments, kind: kill, target: payments, at: 100s}
steady_state: [error_rate < 1%, p95 < 150ms]
objectives:
  - p99 < 100ms during baseline
  - error_rate < 5% during slow-db
  - recovery < 5s after slow-db ends
  - error_rate of "POST /orders" < 30% in every 5s during run
  - throughput >= 95% of offered during peak
  - recovery < 20s after kill-payments starts
abort:
  - error_rate > 60% for 5s
"""

SLOW: dict[str, Any] = {
    "name": "slow-db",
    "kind": "latency",
    "target": "db",
    "latency": "200ms",
    "at": "40s",
    "for": "15s",
}


def small(**changes: Any) -> dict[str, Any]:
    """A small plan that is right; 60 s at 50/s, then 60 s at 100/s, one fault at 40 s."""
    return {
        "name": "small",
        "targets": {"db": {"proxy": "db"}, "web": {"pidfile": "/run/web.pid"}},
        "load": [
            {"step": "base", "rate": "50/s", "for": "60s"},
            {"step": "peak", "rate": "100/s", "for": "60s"},
        ],
        "faults": [SLOW],
        **changes,
    }


@pytest.fixture
def example() -> str:
    """The YAML of the example plan; it needs SHOP_STATE."""
    return EXAMPLE


@pytest.fixture
def slow() -> dict[str, Any]:
    """The small plan's fault."""
    return dict(SLOW)


@pytest.fixture
def plan() -> Callable[..., Plan]:
    """The small plan with some keys changed."""
    return lambda **changes: parse_plan(small(**changes), {})


@pytest.fixture
def checked() -> Callable[..., Checked]:
    """The small plan with some keys changed, checked."""
    return lambda **changes: check_plan(parse_plan(small(**changes), {}))


@pytest.fixture
def problems() -> Callable[..., list[str]]:
    """What is wrong with the small plan so changed, whether on reading or on checking."""

    def find(**changes: Any) -> list[str]:
        try:
            return [str(problem) for problem in check_plan(parse_plan(small(**changes), {})).problems]
        except InvalidPlan as error:
            return [str(problem) for problem in error.problems]

    return find
