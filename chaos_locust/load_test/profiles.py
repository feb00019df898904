"""Profiles of load by name, as the `load` of a plan. Pure. Rates in requests/s, durations in s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, assert_never

from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.units import format_duration, format_rate


class Kind(StrEnum):
    RAMP_UP = "ramp-up"
    SPIKE = "spike"
    SOAK = "soak"
    STRESS = "stress"


BEFORE_SPIKE_S = 10.0
STRESS_LEVELS = 10
STRESS_LEVEL_S = 5.0
"""The shortest that tells whether a level holds."""


@dataclass(frozen=True, slots=True)
class Profile:
    """From `initial_rps` to `peak_rps` within `duration_s`, each kind in its way.

    ramp-up: in a straight line. spike: at once, for the first half of the time, and back for the second;
    `BEFORE_SPIKE_S` at the initial rate come before. soak: the peak all the time, and no other rate. stress:
    up in equal steps, until what is demanded no longer holds.
    """

    kind: Kind
    peak_rps: float
    initial_rps: float | None = None
    duration_s: float | None = None

    DURATIONS_S: ClassVar[Mapping[Kind, float]] = {
        Kind.RAMP_UP: 60,
        Kind.SPIKE: 60,
        Kind.SOAK: 8 * 3600,
        Kind.STRESS: 300,
    }
    INITIAL_RPS: ClassVar[float] = 10.0

    def load(self) -> dict[str, Any]:
        """Raises InvalidPlan."""
        lasts_s = self.DURATIONS_S[self.kind] if self.duration_s is None else self.duration_s
        initial_rps = self.INITIAL_RPS if self.initial_rps is None else self.initial_rps
        if problems := self._problems(lasts_s, initial_rps):
            raise InvalidPlan(problems)
        start, peak = format_rate(initial_rps), format_rate(self.peak_rps)
        match self.kind:
            case Kind.RAMP_UP:
                return {"ramp": {"from": start, "to": peak, "for": format_duration(lasts_s)}}
            case Kind.SPIKE:
                half = format_duration(lasts_s / 2)
                times = {"before": format_duration(BEFORE_SPIKE_S), "for": half, "after": half}
                return {"spike": {"base": start, "peak": peak, **times}}
            case Kind.SOAK:
                return {"soak": {"rate": peak, "for": format_duration(lasts_s)}}
            case Kind.STRESS:
                levels = min(STRESS_LEVELS, int(lasts_s / STRESS_LEVEL_S))
                step = format_rate((self.peak_rps - initial_rps) / (levels - 1))
                every = format_duration(lasts_s / levels)
                return {"stress": {"from": start, "to": peak, "step": step, "every": every}}
            case _:
                assert_never(self.kind)

    def _problems(self, lasts_s: float, initial_rps: float) -> list[Problem]:
        found = []
        for name, value in (("initial_rps", initial_rps), ("peak_rps", self.peak_rps), ("duration", lasts_s)):
            if not 0 < value < float("inf"):
                found.append(Problem(name, f"'{value:g}' is not allowed; give more than zero"))
        if self.kind is Kind.SOAK and self.initial_rps is not None:
            found.append(Problem("initial_rps", "has no effect on a soak load, which has one rate: peak_rps"))
        elif self.kind is not Kind.SOAK and not found and initial_rps >= self.peak_rps:
            text = f"'{self.peak_rps:g}' is not above initial_rps ({initial_rps:g}), where {self.kind} begins"
            found.append(Problem("peak_rps", text))
        if self.kind is Kind.STRESS and lasts_s < 2 * STRESS_LEVEL_S:
            text = f"'{format_duration(lasts_s)}' is too short for two steps of {STRESS_LEVEL_S:g} s"
            found.append(Problem("duration", text))
        return found
