"""The load of a plan, as frozen data: named steps with exact boundaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Step:
    """A named stretch of the load. Levels are requests/s (open workload) or users (closed).

    The level goes linearly from `start_level` to `end_level`; `starts_s` counts from the run's start.
    """

    name: str
    starts_s: float
    duration_s: float
    start_level: float
    end_level: float

    @property
    def ends_s(self) -> float:
        return self.starts_s + self.duration_s

    def level_at(self, t_s: float) -> float:
        """The level asked for at `t_s`, which lies in this step."""
        if self.start_level == self.end_level:
            return self.start_level
        return (
            self.start_level + (self.end_level - self.start_level) * (t_s - self.starts_s) / self.duration_s
        )


@dataclass(frozen=True, slots=True)
class Load:
    """All steps, one after the other without gaps, the first at 0.

    drop_after_s: an arrival that no free user took for so long is dropped.
    max_users: the pool of an open workload grows to this.
    at_least: for `stress`: the level that must be reached, in the unit of the steps.
    """

    workload: Literal["open", "closed"]
    shape: Literal["steps", "ramp", "spike", "soak", "stress"]
    steps: tuple[Step, ...]
    arrivals: Literal["constant", "poisson"] = "constant"
    max_users: int = 1000
    drop_after_s: float = 1.0
    at_least: float | None = None

    @property
    def duration_s(self) -> float:
        return self.steps[-1].ends_s

    @property
    def peak(self) -> float:
        """The highest level of all steps."""
        return max(max(s.start_level, s.end_level) for s in self.steps)

    def step_at(self, t_s: float) -> Step | None:
        """The step in force at `t_s` seconds; None before the start and after the end."""
        for step in self.steps:
            if step.starts_s <= t_s < step.ends_s:
                return step
        return None


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a plan without a locustfile; `weight` is relative to the other requests."""

    method: str
    path: str
    weight: int = 1
    name: str | None = None
    json: Any = None
    headers: tuple[tuple[str, str], ...] = ()
