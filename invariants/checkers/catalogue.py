"""The checkers by name, for histories that are judged apart from any machine."""

from __future__ import annotations

from importlib import import_module

from chaos_locust.data import did_you_mean
from chaos_locust.errors import ChaosError
from invariants.checkers.base import Checker
from invariants.imported import CannotImport, imported

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


OWN = "module:Class"
"""How a checker is named that is not ours."""


class UnknownChecker(ChaosError):
    """There is no checker of that name."""


def is_own(name: str) -> bool:
    """Whether it names a checker of somebody's own."""
    return ":" in name


def checker_named(name: str) -> type[Checker]:
    """A class; if it is a dataclass its fields are its options. name: one of CHECKERS, or `module:Class` for
    any other. Raises UnknownChecker, which names those that there are."""
    if is_own(name):
        return _own(name)
    if name not in CHECKERS:
        raise UnknownChecker(f"there is no checker '{name}'; {did_you_mean(name, [*CHECKERS, OWN])}")
    module, _, made = CHECKERS[name].partition(":")
    found: type[Checker] = getattr(import_module(f"invariants.checkers.{module}"), made)
    return found


def _own(name: str) -> type[Checker]:
    try:
        found = imported(name)
    except CannotImport as error:
        raise UnknownChecker(f"there is no checker '{name}': {error}") from None
    missing = [each for each in ("name", "check") if not hasattr(found, each)]
    if not isinstance(found, type) or missing:
        shown = f"it has no {missing[0]}" if missing else f"it is a {type(found).__name__}"
        raise UnknownChecker(
            f"'{name}' is no checker, which is a class with name and check(history); {shown}"
        )
    return found
