"""What a plan has due when. Pure; faults that wait for a condition are the conductor's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chaos_locust.plan.model import Plan

TransitionKind = Literal["fault_ends_due", "step_starts", "fault_due", "load_ends"]
# at the same instant: what ends makes room for what begins, and a fault falls into the new step
_ORDER: tuple[TransitionKind, ...] = ("fault_ends_due", "step_starts", "fault_due", "load_ends")


@dataclass(frozen=True, slots=True)
class Transition:
    """At `t_s` seconds of the run. name: of the step or the fault; empty for `load_ends`."""

    t_s: float
    kind: TransitionKind
    name: str


class Timeline:
    """All transitions of a plan, in order."""

    def __init__(self, plan: Plan) -> None:
        found = [
            Transition(step.starts_s, "step_starts", step.name)
            for step in (plan.load.steps if plan.load else ())
        ]
        for fault in plan.faults:
            if fault.at_s is not None:
                found.append(Transition(fault.at_s, "fault_due", fault.name))
            if fault.ends_s is not None:
                found.append(Transition(fault.ends_s, "fault_ends_due", fault.name))
        if plan.duration_s is not None:
            found.append(Transition(plan.duration_s, "load_ends", ""))
        self._all = sorted(found, key=lambda transition: (transition.t_s, _ORDER.index(transition.kind)))

    def transitions(self, since_s: float, until_s: float) -> list[Transition]:
        """All with since_s <= t_s < until_s, however late one asks; consecutive intervals miss nothing."""
        return [transition for transition in self._all if since_s <= transition.t_s < until_s]

    def next_after(self, t_s: float) -> Transition | None:
        """The first one later than `t_s`."""
        return next((transition for transition in self._all if transition.t_s > t_s), None)
