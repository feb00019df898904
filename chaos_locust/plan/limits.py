"""How much of the targets a plan breaks at the same moment, against its `limits:`."""

from __future__ import annotations

from math import floor, inf

from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.plan.expected import Expected
from chaos_locust.plan.model import Plan
from chaos_locust.units import format_duration, format_share


def limit_problems(plan: Plan, expected: Expected | None) -> list[Problem]:
    """The first moment at which a limit is broken, for each limit. expected: None without a load.

    A fault that waits for a condition may come whenever its condition can be met, so it counts all the time
    from then on. An instant one counts at its moment.
    """
    spans = [(place, fault, *_span(fault, expected)) for place, fault in plan.placed_faults()]
    problems: dict[str, Problem] = {}
    allowed = max(floor(plan.limits.targets * len(plan.targets) + 1e-9), 1)
    for place, fault, onset_s, _ in sorted(spans, key=lambda span: span[2]):
        acting = [
            other
            for _, other, from_s, to_s in spans
            if other is fault or (_acts(from_s, to_s, onset_s) and not _follow(expected, fault, other))
        ]
        targets = list(dict.fromkeys(f.target for f in acting))
        when = f"at {format_duration(onset_s)}" if fault.at_s is not None else "when its condition is met"
        names = ", ".join(f.name for f in acting)
        if len(acting) > plan.limits.concurrent_faults:
            text = (
                f"{len(acting)} faults can act together {when} ({names}), but "
                f"limits.concurrent_faults is {plan.limits.concurrent_faults}; shift one, or raise the limit"
            )
            problems.setdefault("faults", Problem(place, text))
        if len(targets) > allowed:
            text = (
                f"{len(targets)} of {len(plan.targets)} targets can have faults together {when} "
                f"({', '.join(targets)}), but limits.targets is {format_share(plan.limits.targets)}; "
                "shift one, or raise the limit"
            )
            problems.setdefault("targets", Problem(place, text))
    return list(problems.values())


def _acts(from_s: float, to_s: float, moment_s: float) -> bool:
    return from_s <= moment_s < to_s or from_s == to_s == moment_s


def _follow(expected: Expected | None, one: Fault, other: Fault) -> bool:
    """Whether one waits until the other is over."""
    if expected is None:
        return False
    return expected.is_over_before(one, other) or expected.is_over_before(other, one)


def _span(fault: Fault, expected: Expected | None) -> tuple[float, float]:
    """From when to when it can act."""
    if fault.at_s is not None:
        return fault.at_s, fault.at_s + (fault.duration_s or 0.0)
    if expected is None:
        return 0.0, inf
    return expected.onset_s(fault), expected.over_s(fault) if expected.is_timed(fault) else inf
