"""Load shapes for Locust: a plan's load, or a subclass in a locustfile.

    from chaos_locust import SpikeShape

    class Evening(SpikeShape):
        base = "10/s"
        peak = "100/s"
        before, for_, after = "30s", "60s", "30s"

The attributes are the keys of the macro in a plan; Python's own words get a trailing underscore (`from_`,
`for_`). `arrivals`, `max_users` and `drop_after` may be set too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from locust import LoadTestShape

from chaos_locust.errors import ChaosError, InvalidPlan, Problem
from chaos_locust.plan.load import Load
from chaos_locust.plan.macros import MACROS
from chaos_locust.plan.steps import parse_load, with_settings
from chaos_locust.units import parse_duration

CHANGE_EVERY_S = 0.25
"""The number of users of a ramp changes at most so often."""


class PlanShape(LoadTestShape):
    """Hands the whole run over: Locust looks at a shape once a second, which is too coarse for steps.

    drive: runs the load from its first to its last moment, drained; called by the one `tick`.
    """

    abstract = True

    def __init__(self, drive: Callable[[], None] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drive = drive

    def tick(self) -> None:
        """Returns when the run is over, which ends Locust's test."""
        if self.drive is None:
            raise ChaosError(f"{type(self).__name__} needs `chaos_locust.register()` in the locustfile")
        self.drive()


class LoadShape(PlanShape):
    """Base of the shapes that bring their load along. Use one of its subclasses."""

    abstract = True
    arrivals: ClassVar[str | None] = None
    max_users: ClassVar[int | None] = None
    drop_after: ClassVar[str | None] = None

    @property
    def load(self) -> Load:
        """Raises InvalidPlan with the name of the class and of the attribute in each place."""
        name = type(self).__name__
        load = parse_load(self.typed(), name)
        arrivals, max_users = self.arrivals, self.max_users
        if arrivals not in (None, "constant", "poisson"):
            raise InvalidPlan([Problem(f"{name}.arrivals", f"'{arrivals}' is not constant or poisson")])
        if max_users is not None and (type(max_users) is not int or max_users < 1):
            raise InvalidPlan(
                [Problem(f"{name}.max_users", f"'{max_users}' is not a whole number above zero")]
            )
        try:
            drop_after_s = parse_duration(self.drop_after) if self.drop_after is not None else None
        except ValueError as error:
            raise InvalidPlan([Problem(f"{name}.drop_after", str(error))]) from None
        return with_settings(load, arrivals, max_users, drop_after_s)  # type: ignore[arg-type]

    def typed(self) -> Any:
        """The load as it would be typed in a plan."""
        raise NotImplementedError(type(self).__name__)


class StepsShape(LoadShape):
    """`steps`: a list as in a plan: `{"step": "base", "rate": "50/s", "for": "60s"}`."""

    abstract = True
    steps: ClassVar[list[Mapping[str, Any]]] = []

    def typed(self) -> Any:
        return self.steps


class _MacroShape(LoadShape):
    abstract = True
    macro: ClassVar[str]

    def typed(self) -> Any:
        keys = [field.alias or name for name, field in MACROS[self.macro].model_fields.items()]
        values = {key: _attribute(self, key) for key in keys}
        return {self.macro: {key: value for key, value in values.items() if value is not None}}


class RampShape(_MacroShape):
    """`from_`, `to`, `for_`: from one level to another in a straight line."""

    abstract = True
    macro = "ramp"


class SpikeShape(_MacroShape):
    """`base`, `peak`, `before`, `for_`, `after`, `times`."""

    abstract = True
    macro = "spike"


class SoakShape(_MacroShape):
    """`rate` or `users`, `for_`: one level for a long time."""

    abstract = True
    macro = "soak"


class StressShape(_MacroShape):
    """`from_`, `to`, `step`, `every`, `at_least`: level after level."""

    abstract = True
    macro = "stress"


def user_changes(load: Load) -> Iterator[tuple[float, int]]:
    """(when, users) of a closed workload; a ramp goes in whole users, at most four changes a second."""
    for step in load.steps:
        yield step.starts_s, round(step.start_level)
        difference = abs(round(step.end_level) - round(step.start_level))
        turns = min(difference, int(step.duration_s / CHANGE_EVERY_S))
        for turn in range(1, turns + 1):
            # in the middle of the stretch that rounds to this number of users
            t_s = step.starts_s + step.duration_s * (turn - 0.5) / turns
            share = turn / turns
            yield t_s, round(step.start_level + (step.end_level - step.start_level) * share)


def _attribute(shape: LoadShape, key: str) -> Any:
    return getattr(shape, f"{key}_", None) if key in ("from", "for") else getattr(shape, key, None)
