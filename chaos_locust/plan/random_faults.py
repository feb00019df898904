"""`random:` stands for faults drawn from a seed: the same seed gives the same faults on any machine.

    random:
      seed: 7
      count: 5                     # or budget: 20s, so long all of them together
      between: [20s, 60s]
      for: [2s, 5s]
      faults:
        - {kind: latency, target: postgres, latency: [50ms, 500ms]}
        - {kind: down, target: payments}

They are drawn when the plan is read, so `check` shows them and the journal of a run has them as they came.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from chaos_locust.data import DURATION_PATTERN, Data, Name, PositiveSeconds, check_mapping, within
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.registry import KINDS, parse_fault
from chaos_locust.units import format_duration, parse_duration

APART_S = 1.0
"""Confirming an end takes time: so long after one fault the next begins, where they may not act together."""

MOST_FAULTS = 1000
_TRIES = 1000
Range = tuple[float, float]


def _range(value: object) -> Range:
    """Two durations, or one."""
    if isinstance(value, list | tuple) and len(value) == 2:
        least, most = (item if isinstance(item, float) else parse_duration(item) for item in value)
    elif isinstance(value, list | tuple):
        raise ValueError(f"'{value}' is not allowed; give two durations, such as [2s, 5s]")
    else:
        least = most = parse_duration(value)
    if least > most:
        raise ValueError(f"'{value}' is not allowed; the first must not be greater than the second")
    return least, most


_DURATION = {"type": "string", "pattern": DURATION_PATTERN}
_PAIR = {"type": "array", "items": _DURATION, "minItems": 2, "maxItems": 2}
Between = Annotated[Range, BeforeValidator(_range), WithJsonSchema(_PAIR)]
Lasting = Annotated[Range, BeforeValidator(_range), WithJsonSchema({"anyOf": [_DURATION, _PAIR]})]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """place: of what it was drawn from."""

    place: str
    fault: Fault
    starts_s: float
    ends_s: float


class Random(Data):
    """Either `count` faults, or as many as last for `budget` together. Each acts wholly `between` two moments
    for a time within `for`; a duration in `faults` may be a range of two as well. At most `concurrent` of
    them at once. They are NAME-1, NAME-2 and so on in order of time; they come into an unsteady target too.
    """

    name: Name = "random"
    seed: int | None = Field(default=None, description="by default the plan's")
    count: int | None = Field(default=None, ge=1, le=MOST_FAULTS)
    budget_s: PositiveSeconds | None = Field(default=None, alias="budget")
    between: Between
    for_s: Lasting | None = Field(default=None, alias="for")
    concurrent: int = Field(default=1, ge=1)
    faults: list[Any] = Field(min_length=1)

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        if (data.get("count") is None) == (data.get("budget", data.get("budget_s")) is None):
            return [Problem("count", "give either count: (such as 5) or budget: (such as 20s)")]
        return []

    def expand(self, seed: int, others: Sequence[Fault]) -> list[tuple[str, Fault]]:
        """(place, fault) in order of time. others: what the plan has besides, not to be in the way of.
        Raises InvalidPlan."""
        self._check_templates()
        rng = random.Random(seed if self.seed is None else self.seed)
        drawn: list[_Drawn] = []
        left_s = self.budget_s
        while self._wants_more(len(drawn), left_s):
            found = self._draw(rng, drawn, others, left_s)
            if found is None:
                text = f"there is room for {len(drawn)} only; give more time, shorter or more concurrent ones"
                raise InvalidPlan([Problem("between", text)])
            drawn.append(found)
            if left_s is not None:
                left_s = round(left_s - (found.ends_s - found.starts_s), 3)
        drawn.sort(key=lambda each: each.starts_s)
        return [
            (each.place, each.fault.model_copy(update={"name": f"{self.name}-{number}"}))
            for number, each in enumerate(drawn, start=1)
        ]

    def _check_templates(self) -> None:
        """Every mistake in `faults`, whatever will be drawn of them."""
        problems: list[Problem] = []
        for index, template in enumerate(self.faults):
            place = f"faults[{index}]"
            try:
                check_mapping(template, ["kind", "target"])
            except InvalidPlan as error:
                problems += within(place, error.problems)
                continue
            drawn = [key for key in ("name", "at", "when", "for") if key in template]
            wrong = [Problem(f"{place}.{key}", "is drawn; leave it out") for key in drawn]
            wrong += _reversed_ranges(template, place)
            if wrong:
                problems += wrong
                continue
            if _is_instant(template) and self.budget_s is not None:
                text = f"a {template['kind']} takes no time, so no budget would end; give count:"
                problems.append(Problem(f"{place}.kind", text))
            for pick in (0.0, 1.0):
                fault = parse_fault(self._document(template, self.between[0], APART_S, pick), place)
                problems += [] if isinstance(fault, Fault) else fault
        if self.for_s is None and not all(_is_instant(template) for template in self.faults):
            problems.append(Problem("for", "is missing; say how long they last, such as [2s, 5s]"))
        if problems:
            raise InvalidPlan(list(dict.fromkeys(problems)))

    def _wants_more(self, so_far: int, left_s: float | None) -> bool:
        if left_s is None:
            return self.count is not None and so_far < self.count
        return self.for_s is not None and left_s > 0 and left_s >= self.for_s[0]

    def _draw(
        self, rng: random.Random, drawn: Sequence[_Drawn], others: Sequence[Fault], left_s: float | None
    ) -> _Drawn | None:
        """One more that fits to all; None when there seems to be no room."""
        begins_s, ends_s = self.between
        for _ in range(_TRIES):
            index = int(rng.random() * len(self.faults))
            pick, lasting, onset = rng.random(), rng.random(), rng.random()
            least_s, most_s = self.for_s or (0.0, 0.0)
            length_s = round(least_s + (most_s - least_s) * lasting, 3)
            if left_s is not None:
                length_s = min(length_s, left_s)
            if _is_instant(self.faults[index]):
                length_s = 0.0
            at_s = round(begins_s + (ends_s - begins_s - length_s) * onset, 3)
            if at_s < begins_s:
                continue
            fault = parse_fault(self._document(self.faults[index], at_s, length_s, pick), "")
            assert isinstance(fault, Fault), "templates are checked before"
            one = _Drawn(f"faults[{index}]", fault, at_s, at_s + length_s)
            if self._has_room(one, drawn) and not any(_clash(one, other) for other in others):
                return one
        return None

    def _has_room(self, one: _Drawn, drawn: Sequence[_Drawn]) -> bool:
        near = [other for other in drawn if _is_near(one, other.starts_s, other.ends_s)]
        if any(_clash(one, other.fault) for other in near):
            return False
        moments = [one.starts_s, *(other.starts_s for other in near if other.starts_s > one.starts_s)]
        at_once = [sum(o.starts_s <= t_s < o.ends_s + APART_S for o in near) + 1 for t_s in moments]
        return max(at_once) <= self.concurrent

    def _document(
        self, template: Mapping[str, Any], at_s: float, length_s: float, pick: float
    ) -> dict[str, Any]:
        """A fault as in a plan. pick: from 0 to 1, where in their ranges its durations are."""
        data: dict[str, Any] = {"name": "drawn", "anyway": True, "at": format_duration(at_s)}
        if not _is_instant(template):
            data["for"] = format_duration(length_s)
        return data | {key: _picked(value, pick) for key, value in template.items()}


def _is_instant(template: object) -> bool:
    kind = KINDS.get(str(template.get("kind"))) if isinstance(template, Mapping) else None
    return kind is not None and kind.instant


def _is_range(value: object) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    try:
        return all(parse_duration(item) is not None for item in value)
    except ValueError:
        return False


def _picked(value: object, pick: float) -> object:
    """A range of durations becomes the one at `pick`, in whole milliseconds."""
    if not _is_range(value):
        return value
    least_s, most_s = _range(value)
    return format_duration(round(least_s + (most_s - least_s) * pick, 3))


def _reversed_ranges(template: Mapping[str, Any], place: str) -> list[Problem]:
    found = []
    for key, value in template.items():
        try:
            _picked(value, 0.0)
        except ValueError as error:
            found.append(Problem(f"{place}.{key}", str(error)))
    return found


def _is_near(one: _Drawn, starts_s: float, ends_s: float) -> bool:
    return one.starts_s < ends_s + APART_S and starts_s < one.ends_s + APART_S


def _clash(one: _Drawn, other: Fault) -> bool:
    """Whether they cannot both act; a fault without a time of its own is for `check` to compare."""
    if other.target != one.fault.target or other.at_s is None:
        return False
    near = _is_near(one, other.at_s, other.at_s + (other.duration_s or 0.0))
    return near and bool(one.fault.clashes_with(other) or other.clashes_with(one.fault))
