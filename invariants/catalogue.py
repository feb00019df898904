"""Which invariants there are: ours, and those of other packages (entry points `chaos_locust.invariants`)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points

from chaos_locust.errors import ChaosError
from invariants.machine import Machine

GROUP = "chaos_locust.invariants"

BUILT_IN = {
    "circuit_breaker_never_stuck_open": "breaker:CircuitBreakerNeverStuckOpen",
    "queue_never_loses_messages": "queue:QueueNeverLosesMessages",
    "transactions_are_atomic": "transactions:TransactionsAreAtomic",
    "cache_stays_consistent": "cache:CacheStaysConsistent",
    "latency_bounded": "rates:LatencyBounded",
    "error_rate_limited": "rates:ErrorRateLimited",
    "registers_are_linearizable": "register:RegistersAreLinearizable",
    "elements_never_disappear": "elements:ElementsNeverDisappear",
    "money_is_conserved": "bank:MoneyIsConserved",
    "sessions_are_consistent": "sessions:SessionsAreConsistent",
    "one_miss_one_fetch": "single_flight:OneMissOneFetch",
    "transactions_are_serializable": "list_append:TransactionsAreSerializable",
    "locks_exclude": "exclusion:LocksExclude",
    "writers_are_alone": "exclusion:WritersAreAlone",
    "counters_are_exact": "counter:CountersAreExact",
    "stock_is_never_oversold": "counter:StockIsNeverOversold",
    "messages_stay_in_order": "delivery:MessagesStayInOrder",
    "tasks_run_once": "once:TasksRunOnce",
    "initialised_once": "once:InitialisedOnce",
    "updates_are_not_lost": "updates:UpdatesAreNotLost",
    "published_data_are_seen": "publication:PublishedDataAreSeen",
    "maps_stay_sound": "shared_map:MapsStaySound",
    "requests_are_answered": "answers:RequestsAreAnswered",
    "requests_end_in_time": "answers:RequestsEndInTime",
    "service_recovers": "answers:ServiceRecovers",
    "nobody_waits_for_others": "answers:NobodyWaitsForOthers",
    "tokens_are_checked": "admission:TokensAreChecked",
}
"""Name -> file and class in `invariants.machines`."""


class UnknownInvariant(ChaosError):
    """There is no invariant of that name."""


def machine_of(name: str) -> type[Machine]:
    """Raises UnknownInvariant, which names those that there are."""
    if name in BUILT_IN:
        module, _, made = BUILT_IN[name].partition(":")
        machine: type[Machine] = getattr(import_module(f"invariants.machines.{module}"), made)
        return machine
    for entry_point in entry_points(group=GROUP, name=name):
        loaded: type[Machine] = entry_point.load()
        return loaded
    raise UnknownInvariant(f"there is no invariant '{name}'; there are {', '.join(names())}")


def names() -> list[str]:
    """All, ours first."""
    others = {entry_point.name for entry_point in entry_points(group=GROUP)} - set(BUILT_IN)
    return [*BUILT_IN, *sorted(others)]


def machines() -> Mapping[str, type[Machine]]:
    """By name."""
    return {name: machine_of(name) for name in names()}
