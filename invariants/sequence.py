"""A sequence of steps as data: drawn by Hypothesis, written to a file, shortened, and run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from invariants.machine import Fresh, Machine, OfTarget, Rule

FAULT_SHARE = 8
"""One step in so many changes a fault, where there are faults."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a rule, or one change of a fault (`rule` is `inject` or `heal`, `fault` its name).

    number: of the step in the sequence as it was drawn; it stays when others are taken away. lane: steps of
    different lanes run at the same time.
    """

    number: int
    rule: str
    arguments: Mapping[str, Any]
    lane: int = 0
    fault: str = ""

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"number": self.number, "rule": self.rule}
        if self.fault:
            return data | {"fault": self.fault}
        return data | {"arguments": dict(self.arguments), "lane": self.lane}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        """Raises KeyError."""
        return cls(
            data["number"],
            data["rule"],
            data.get("arguments", {}),
            data.get("lane", 0),
            data.get("fault", ""),
        )

    def __str__(self) -> str:
        if self.fault:
            return f"{self.rule} {self.fault}"
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.rule}({given})"


def sequences(
    machine: Machine, steps: int, lanes: int, faults: Sequence[str]
) -> SearchStrategy[tuple[Step, ...]]:
    """Sequences of exactly so many steps. Raises InvalidMachine."""
    rules = [each for each in machine.rules().values() for _ in range(each.weight)]

    @st.composite
    def drawn(draw: DrawFn) -> tuple[Step, ...]:
        acting: set[str] = set()
        made = []
        for number in range(steps):
            if faults and draw(st.integers(1, FAULT_SHARE)) == FAULT_SHARE:
                name = draw(st.sampled_from(faults))
                made.append(Step(number, "heal" if name in acting else "inject", {}, 0, name))
                acting ^= {name}
            else:
                chosen = draw(st.sampled_from(rules))
                lane = draw(st.integers(0, lanes - 1)) if lanes > 1 else 0
                made.append(Step(number, chosen.name, _arguments(draw, machine, chosen, number), lane))
        return tuple(made)

    return drawn()


def _arguments(draw: DrawFn, machine: Machine, chosen: Rule, number: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, given in chosen.arguments.items():
        match given:
            case Fresh(make):
                own = make(number)
                made[name] = draw(own) if isinstance(own, SearchStrategy) else own
            case OfTarget(make):
                made[name] = draw(make(machine.target))
            case strategy:
                made[name] = draw(strategy)
    return made
