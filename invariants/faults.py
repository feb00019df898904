"""Faults as steps of a sequence: those of a plan, injected and healed as `chaos_locust.inject` does."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos_locust.backends.base import Effect
from chaos_locust.errors import ChaosError
from chaos_locust.injection import Injection, inject
from chaos_locust.plan.documents import load_plan, parse_plan
from chaos_locust.plan.model import Plan
from invariants.execute import Faults

LONGEST = "10min"
"""No sequence is longer. A fault that is held by nobody ends by itself then."""


class NoFaults(ChaosError):
    """A plan without faults, where faults are asked for."""


class PlanFaults:
    """The faults of a plan; when they act is the sequence's business, not the plan's.

    source: the plan's file or mapping, where it came from one.
    """

    def __init__(self, plan: Plan, source: Path | Mapping[str, Any] | None = None) -> None:
        if not plan.faults:
            raise NoFaults(f"the plan '{plan.name}' has no faults")
        self._plan, self.source = plan, source
        self._acting: dict[str, Injection] = {}
        self._effects: dict[str, list[Effect]] = defaultdict(list)

    @property
    def names(self) -> Sequence[str]:
        return [fault.name for fault in self._plan.faults]

    def inject(self, name: str) -> None:
        """Raises PreflightFailed, LeaseError, BackendError."""
        plan, fault = self._plan.to_json(), self._plan.fault(name)
        keys = {**fault.to_json(), "at": "0s"}
        keys.pop("when", None)
        if not fault.instant:
            keys["for"] = LONGEST
        injection = inject(
            keys.pop("kind"),
            targets=plan["targets"],
            proxy_api=plan.get("proxy_api"),
            allow=plan.get("allow", ()),
            **keys,
        )
        injection.__enter__()
        self._acting[name] = injection

    def heal(self, name: str) -> None:
        """Raises DirtyTarget."""
        injection = self._acting.pop(name)
        injection.__exit__(None, None, None)
        if injection.effect is not None:
            self._effects[name].append(injection.effect)

    def never_acted(self) -> str:
        """Which fault was seen not to act and never to act, and how that was seen. One that has to meet
        something (keys in a cache, say) may find nothing in one sequence, and does in another."""
        for name, effects in self._effects.items():
            idle = [effect for effect in effects if effect.mechanism is False]
            if idle and not any(effect.mechanism for effect in effects):
                return f"{name} never acted: {idle[-1].detail}"
        return ""


def injected(plan: Any) -> Faults:
    """Faults from a Plan, the path of its file, its mapping, or faults of one's own. Raises InvalidPlan,
    NoFaults."""
    if isinstance(plan, str | Path):
        return PlanFaults(load_plan(Path(plan), os.environ), Path(plan))
    if isinstance(plan, Mapping):
        return PlanFaults(parse_plan(plan, os.environ), plan)
    if isinstance(plan, Plan):
        return PlanFaults(plan)
    own: Faults = plan
    return own
