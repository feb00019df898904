"""When a run had warmed up: drawn, never judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from chaos_locust.events import Event, GeneratorSample
from chaos_locust.measure.window import ARRIVALS, Window
from chaos_locust.plan.model import Plan

WARM_UP_LEAST_S = 10
WARM_UP_STEADY_S = 5
WARM_UP_TOLERANCE = 0.05


def warmed_up_s(
    plan: Plan, windows: Mapping[tuple[int, str], Window], events: Sequence[Event], load_end_s: float
) -> float:
    """When the offered rate (closed workload: the users) had been within 5 % of what was asked for 5 s;
    at least 10 s; the plan's own word counts more. The end of the load when that never came."""
    if plan.warm_up_s is not None:
        return min(plan.warm_up_s, load_end_s)
    if plan.load is None:
        return min(WARM_UP_LEAST_S, load_end_s)
    users: dict[int, int] = {}
    if plan.load.workload == "closed":
        for event in events:
            if isinstance(event, GeneratorSample):
                users[math.floor(event.t_s)] = users.get(math.floor(event.t_s), 0) + event.users
    last = math.floor(load_end_s)
    for end in range(WARM_UP_LEAST_S, last + 1):
        seconds = range(end - WARM_UP_STEADY_S, end)
        asked = sum(_asked(plan, second + 0.5) for second in seconds)
        if plan.load.workload == "open":
            seen: float = sum(windows[(s, ARRIVALS)].offered for s in seconds if (s, ARRIVALS) in windows)
        else:
            known = [users[s] for s in seconds if s in users]
            seen = sum(known) / len(known) * len(seconds) if known else asked
        allowed = WARM_UP_TOLERANCE * asked
        if plan.load.arrivals == "poisson":
            allowed = max(allowed, 3 * math.sqrt(asked))  # what chance alone does to a Poisson count
        if abs(seen - asked) <= allowed + 1:
            return end
    return load_end_s


def _asked(plan: Plan, t_s: float) -> float:
    step = plan.load.step_at(t_s) if plan.load else None
    return step.level_at(t_s) if step else 0.0
