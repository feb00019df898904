"""Steps and macros as data: what stands between the words of a load and its steps.

Levels are rates (`50/s`, open workload: arrivals come whatever the answers do) or users (a whole number,
closed workload).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from chaos_locust.data import Data, Name, PositiveSeconds
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.units import parse_rate

Workload = Literal["open", "closed"]
Level = tuple[Workload, float]
MOST_STEPS = 10_000
_BETWEEN = re.compile(r"(.+?)\s+to\s+(.+)")


def _level(value: object) -> Level:
    """`50/s` or a whole number of users."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"'{value}' is not allowed; give zero users or more")
        return "closed", float(value)
    if isinstance(value, tuple):
        return value
    try:
        return "open", parse_rate(value)
    except ValueError:
        raise ValueError(
            f"'{value}' is no level; give a rate, such as 50/s, or a whole number of users"
        ) from None


def _range(value: object) -> tuple[Level, Level]:
    """`10/s to 100/s` or one level."""
    match = _BETWEEN.fullmatch(value.strip()) if isinstance(value, str) else None
    return (_level(match[1]), _level(match[2])) if match else (_level(value), _level(value))


def _ranged(wanted: Workload, example: str) -> BeforeValidator:
    def read(value: object) -> tuple[Level, Level]:
        start, end = _range(value)
        if {start[0], end[0]} != {wanted}:
            raise ValueError(f"'{value}' is not allowed; give {example}")
        return start, end

    return BeforeValidator(read)


_LEVEL_SCHEMA = {"anyOf": [{"type": "string", "pattern": "/s\\s*$"}, {"type": "integer", "minimum": 0}]}
LevelField = Annotated[Level, BeforeValidator(_level), WithJsonSchema(_LEVEL_SCHEMA)]
RateField = Annotated[
    tuple[Level, Level],
    _ranged("open", "a rate, such as 50/s, or 10/s to 100/s"),
    WithJsonSchema({"type": "string", "examples": ["50/s", "10/s to 100/s"]}),
]
UsersField = Annotated[
    tuple[Level, Level],
    _ranged("closed", "a whole number of users, such as 20, or 10 to 50"),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}),
]
# (name, start, end, duration_s)
Stretch = tuple[str, Level, Level, float]


class _Stretch(Data):
    rate: RateField | None = None
    users: UsersField | None = None
    for_s: PositiveSeconds = Field(alias="for")

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        if (data.get("rate") is None) == (data.get("users") is None):
            return [Problem("", "give either rate: (such as 50/s) or users: (such as 20)")]
        return []

    @property
    def levels(self) -> tuple[Level, Level]:
        levels = self.rate or self.users
        assert levels is not None, "one of the two is there, see contradictions"
        return levels


class StepItem(_Stretch):
    """A named stretch of the load at a level, or from one level to another."""

    step: Name

    def stretches(self) -> list[Stretch]:
        return [(self.step, *self.levels, self.for_s)]


class Ramp(Data):
    """From one level to another in a straight line."""

    from_level: LevelField = Field(alias="from")
    to: LevelField
    for_s: PositiveSeconds = Field(alias="for")

    def stretches(self, name: str | None) -> list[Stretch]:
        return [(name or "ramp", self.from_level, self.to, self.for_s)]


class Spike(Data):
    """`base`, then suddenly `peak`, then `base` again; `times` over."""

    base: LevelField
    peak: LevelField
    before_s: PositiveSeconds = Field(alias="before")
    for_s: PositiveSeconds = Field(alias="for")
    after_s: PositiveSeconds = Field(alias="after")
    times: int = Field(default=1, ge=1, le=1000)

    def stretches(self, name: str | None) -> list[Stretch]:
        prefix = f"{name}-" if name else ""
        found: list[Stretch] = [(f"{prefix}base", self.base, self.base, self.before_s)]
        for turn in range(1, self.times + 1):
            number = f"-{turn}" if self.times > 1 else ""
            found.append((f"{prefix}peak{number}", self.peak, self.peak, self.for_s))
            found.append((f"{prefix}after{number}", self.base, self.base, self.after_s))
        return found


class Soak(_Stretch):
    """One level for a long time."""

    def stretches(self, name: str | None) -> list[Stretch]:
        return [(name or "soak", *self.levels, self.for_s)]


class Stress(Data):
    """Levels from `from` to `to`, `step` apart, each for `every`, until the target no longer holds."""

    from_level: LevelField = Field(alias="from")
    to: LevelField
    step: LevelField
    every_s: PositiveSeconds = Field(alias="every")
    at_least: LevelField | None = None

    def stretches(self, name: str | None) -> list[Stretch]:
        workload, start = self.from_level
        if self.step[1] <= 0:
            raise InvalidPlan([Problem("step", "'0' is not allowed; give more than zero")])
        if self.to[1] < start:
            raise InvalidPlan([Problem("to", "is below from; a stress load goes up")])
        levels = math.floor((self.to[1] - start) / self.step[1] + 1e-9) + 1
        if levels > MOST_STEPS:
            raise InvalidPlan([Problem("step", f"makes {levels} steps; at most {MOST_STEPS} are allowed")])
        found: list[Stretch] = []
        for turn in range(levels):
            level = (workload, start + turn * self.step[1])
            found.append((f"{name or 'stress'}-{turn + 1}", level, level, self.every_s))
        return found


MACROS: Mapping[str, type[Ramp | Spike | Soak | Stress]] = {
    "ramp": Ramp,
    "spike": Spike,
    "soak": Soak,
    "stress": Stress,
}
