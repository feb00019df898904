"""`cascade:` stands for faults that follow one another, as failures do along dependencies.

    cascade:
      name: auth-then-payments
      at: 20s
      then: active for 2s          # or every: 3s
      for: 10s
      steps:
        - {target: auth, kind: down}
        - {target: payments, kind: pause}

is auth-then-payments-1 at 20s, and auth-then-payments-2 when auth-then-payments-1 has acted for 2s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from chaos_locust.data import Data, Name, PositiveSeconds, Seconds, check_mapping
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.conditions import WhenField, parse_when
from chaos_locust.faults.registry import KINDS, parse_fault
from chaos_locust.units import format_duration

_THEN_PATTERN = r"^\s*((active|over)(\s+for\s+\S.*)?|recovered)\s*$"


def _then(value: str) -> str:
    words = " ".join(value.split())
    if words != "recovered":
        try:
            parse_when(f"x {words}")
        except ValueError:
            allowed = "active, active for 3s, over, over for 3s, recovered"
            raise ValueError(f"'{value}' says nothing of the step before; allowed: {allowed}") from None
    return words


class Cascade(Data):
    """The first step comes at `at`, or when `when` is met. The others: one `every` so long, or `then`: when
    the one before is active, over, or the target recovered after it; one that happens at once is active and
    over when it came. `for`: of each step that gives none."""

    name: Name = Field(description="the steps are NAME-1, NAME-2 and so on, unless they have names")
    at_s: Seconds | None = Field(default=None, alias="at")
    when: WhenField = None
    every_s: PositiveSeconds | None = Field(default=None, alias="every")
    then: Annotated[
        str, AfterValidator(_then), WithJsonSchema({"type": "string", "pattern": _THEN_PATTERN})
    ] = "active"
    for_s: PositiveSeconds | None = Field(default=None, alias="for")
    steps: list[Any] = Field(min_length=1)

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        given = {key.removesuffix("_s") for key, value in data.items() if value is not None}
        if ("at" in given) == ("when" in given):
            return [Problem("at", "give either at: (such as 20s) or when: (such as steady for 10s)")]
        if "every" in given and "then" in given:
            return [Problem("every", "does not go with then; give one or the other")]
        if "every" in given and "when" in given:
            return [Problem("every", "goes with at; with when: say then: (such as active for 3s)")]
        return []

    def expand(self) -> list[tuple[str, Fault]]:
        """(place, fault) of each step, in order. Raises InvalidPlan with every problem."""
        found: list[tuple[str, Fault]] = []
        problems: list[Problem] = []
        before, after_instant = "", False
        for index, step in enumerate(self.steps):
            place = f"steps[{index}]"
            try:
                check_mapping(step, ["kind", "target", "name", "for"])
                problems += [
                    Problem(f"{place}.{key}", "is for the cascade to say; leave it out of its steps")
                    for key in ("at", "when")
                    if key in step
                ]
            except InvalidPlan as error:
                problems += [Problem(place, problem.message) for problem in error.problems]
                continue
            named = {"name": f"{self.name}-{index + 1}", **step}
            onset = self._onset(index, before, after_instant)
            fault = parse_fault({**onset, **self._lasting(step), **named}, place)
            if isinstance(fault, Fault):
                found.append((place, fault))
            else:
                problems += fault
            before, after_instant = str(named["name"]), _is_instant(step)
        if problems:
            raise InvalidPlan(problems)
        return found

    def _onset(self, index: int, before: str, after_instant: bool) -> dict[str, Any]:
        if index == 0:
            return {"when": self.when} if self.when is not None else {"at": format_duration(self.at_s or 0.0)}
        if self.every_s is not None:
            at_s = round((self.at_s or 0.0) + index * self.every_s, 6)
            return {"at": format_duration(at_s), "anyway": True}
        then = self.then.replace("active", "over") if after_instant else self.then
        return {"when": f"recovered after {before}" if then == "recovered" else f"{before} {then}"}

    def _lasting(self, step: Mapping[str, Any]) -> dict[str, Any]:
        if self.for_s is None or _is_instant(step):
            return {}
        return {"for": format_duration(self.for_s)}


def _is_instant(step: Mapping[str, Any]) -> bool:
    kind = KINDS.get(str(step.get("kind")))
    return kind is not None and kind.instant
