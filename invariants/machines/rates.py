"""How slow and how often wrong a target is, over all requests of all sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers import rates
from invariants.checkers.base import Checker
from invariants.machine import Machine, of_target, rule

REQUEST = "request"
INPUTS = of_target(lambda target: st.sampled_from(target.inputs))


@dataclass
class LatencyBounded(Machine):
    """limit_s: for so large a share of the requests: quantile (0 to 1)."""

    name = "latency_bounded"
    reason = "The slowest requests are those of the customers with the fullest baskets."
    needs = "request, inputs"
    pooled = True

    limit_s: float = 0.1
    quantile: float = 0.99

    @property
    def statement(self) -> str:
        return f"{self.quantile * 100:g} % of the requests are answered within {self.limit_s * 1000:g} ms."

    @property
    def checker(self) -> Checker:
        return rates.LatencyBounded(self.limit_s, self.quantile, (REQUEST,))

    @rule(value=INPUTS)
    def request(self, client: Any, value: str) -> None:
        client.request(value)


@dataclass
class ErrorRateLimited(Machine):
    """limit: the share of the requests (0 to 1) that may fail."""

    name = "error_rate_limited"
    reason = "One request in a hundred that fails is one customer in ten, who makes ten."
    needs = "request, inputs"
    pooled = True

    limit: float = 0.01

    @property
    def statement(self) -> str:
        return f"At most {self.limit * 100:g} % of the requests fail or have no answer."

    @property
    def checker(self) -> Checker:
        return rates.ErrorRateLimited(self.limit, (REQUEST,))

    @rule(value=INPUTS)
    def request(self, client: Any, value: str) -> None:
        client.request(value)
