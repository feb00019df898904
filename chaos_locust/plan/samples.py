"""How many samples an objective needs before the fact decides it, and how many it will have."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log

from chaos_locust.plan.expected import Expected, Stretch
from chaos_locust.plan.load import Request
from chaos_locust.plan.model import Plan
from chaos_locust.plan.objectives import EACH_REQUEST, Objective

SMALLEST_FLOOR = 59
LARGEST_FLOOR = 2995
_CONFIDENCE = 0.95


def samples_floor(limit: float) -> int:
    """From how many samples on the fact decides a claim that at most the share `limit` is bad.

    With so many samples and none of them bad, the 95 % upper bound is at `limit`: 59 for 5 % (p95), 299
    for 1 % (p99), 2995 for 0.1 % (p99.9). Limits above 50 % are as hard as those below; for none at all
    or everything the floor is the greatest of these.
    """
    rare = min(limit, 1 - limit)
    if rare <= 0:
        return LARGEST_FLOOR
    return max(1, ceil(log(1 - _CONFIDENCE) / log(1 - rare) - 1e-9))


@dataclass(frozen=True, slots=True)
class Samples:
    """needed: for the fact to decide. planned: as many as the rate gives; None: not known beforehand.

    share: of all requests; None: the locustfile decides that, and `planned` is for all requests together.
    """

    needed: int
    planned: int | None
    share: float | None


def samples_needed(rule: Objective) -> int:
    """1 where a single value is compared and not a share."""
    measure, bound = rule.measure, rule.bound
    if measure.quantile is not None:
        return samples_floor(1 - measure.quantile)
    if bound.relative == "offered":
        return samples_floor(1 - bound.value)
    if bound.relative is None and bound.unit == "ratio" and measure.kind in ("error_rate", "dropped"):
        return samples_floor(bound.value)
    if bound.relative is None and measure.kind == "availability":
        return samples_floor(1 - bound.value)
    return 1


def baseline_needed(rule: Objective) -> int:
    """How many samples the baseline needs to be compared with."""
    quantile = rule.measure.quantile
    return SMALLEST_FLOOR if quantile is None else samples_floor(1 - quantile)


def samples_planned(plan: Plan, expected: Expected, rule: Objective, stretch: Stretch) -> Samples:
    """For `rule` in `stretch`; with `in every`, in that part of it that has the fewest."""
    judged = expected.guarded(stretch, guard_s(plan, rule))
    share = subject_share(plan, rule)
    arrivals = _fewest(expected, judged, rule.every_s)
    planned = arrivals if arrivals is None or share is None else round(arrivals * share)
    return Samples(samples_needed(rule), planned, share)


def guard_s(plan: Plan, rule: Objective) -> float:
    """How long before an onset a request may have met the fault: a latency bound, else the time-out."""
    if rule.measure.kind in ("quantile", "mean", "max"):
        return min(rule.bound.value, plan.timeout_s) if rule.bound.relative is None else 0.0
    return plan.timeout_s


def subject_share(plan: Plan, rule: Objective) -> float | None:
    """The share of all requests that are the rule's subject; for `each request` the rarest one's."""
    if rule.subject is None:
        return 1.0
    shares = request_shares(plan.requests)
    if rule.subject == EACH_REQUEST:
        return min(shares.values(), default=None)
    return shares.get(rule.subject) if shares else None


def request_shares(requests: tuple[Request, ...]) -> dict[str, float]:
    """Name in the statistics -> share of all requests; empty when a locustfile makes them."""
    total = sum(request.weight for request in requests)
    shares: dict[str, float] = {}
    for request in requests:
        name = f"{request.method} {request.name or request.path}"
        shares[name] = shares.get(name, 0.0) + request.weight / total
    return shares


def _fewest(expected: Expected, stretch: Stretch, every_s: float | None) -> int | None:
    whole = expected.arrivals(stretch)
    if every_s is None or whole is None or stretch.length_s < every_s:
        return whole
    starts = range(stretch.seconds.start, stretch.seconds.stop - int(every_s) + 1)
    found = (expected.arrivals(Stretch(start, start + every_s)) for start in starts)
    return min((count for count in found if count is not None), default=0)
