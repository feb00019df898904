"""The checkers by name, for histories that are judged apart from any machine."""

from __future__ import annotations

from importlib import import_module

from chaos_locust.data import did_you_mean
from chaos_locust.errors import ChaosError
from invariants.checkers.base import Checker

CHECKERS = {
    "admission": "answers:Admission",
    "answered": "answers:Answered",
    "bank": "bank:Bank",
    "cache-consistency": "cache:CacheConsistency",
    "circuit-breaker": "breaker:CircuitBreaker",
    "conditional-updates": "updates:ConditionalUpdates",
    "counter": "counter:Counter",
    "delivery": "delivery:Delivery",
    "ends-in-time": "answers:EndsInTime",
    "error-rate-limited": "rates:ErrorRateLimited",
    "exclusion": "exclusion:Exclusion",
    "latency-bounded": "rates:LatencyBounded",
    "linearizable": "linearizable:Linearizable",
    "list-append": "list_append:ListAppend",
    "none-held-up": "answers:NoneHeldUp",
    "publication": "publication:Publication",
    "recovers": "answers:Recovers",
    "run-once": "once:RunOnce",
    "session-guarantees": "sessions:SessionGuarantees",
    "set-full": "elements:SetFull",
    "shared-map": "shared_map:SharedMap",
    "single-flight": "cache:SingleFlight",
    "total-queue": "queue:TotalQueue",
    "transaction-atomicity": "atomic:TransactionAtomicity",
}
"""Name -> file and class in `invariants.checkers`."""


class UnknownChecker(ChaosError):
    """There is no checker of that name."""


def checker_named(name: str) -> type[Checker]:
    """A dataclass, whose fields are its options. Raises UnknownChecker, which names those that there are."""
    if name not in CHECKERS:
        raise UnknownChecker(f"there is no checker '{name}'; {did_you_mean(name, CHECKERS)}")
    module, _, made = CHECKERS[name].partition(":")
    found: type[Checker] = getattr(import_module(f"invariants.checkers.{module}"), made)
    return found
