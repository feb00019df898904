"""Faults that wait for other faults: names that are none, circles, and conditions that can never come."""

from __future__ import annotations

from collections.abc import Sequence

from chaos_locust.data import did_you_mean
from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.units import format_duration


def condition_problems(faults: Sequence[Fault], places: Sequence[str]) -> list[Problem]:
    """places: of each fault in the document. Where there is none, every chain of conditions has an end."""
    named = {fault.name: fault for fault in faults}
    problems = []
    for fault, place in zip(faults, places, strict=True):
        reason = _wrong(fault, named)
        if reason:
            problems.append(Problem(f"{place}.when", f"{reason} (in: {fault.when})"))
    return problems


def _wrong(fault: Fault, named: dict[str, Fault]) -> str:
    when = fault.when
    if when is None or when.fault is None:
        return ""
    other = named.get(when.fault)
    if other is None:
        others = [name for name in named if name != fault.name]
        hint = did_you_mean(when.fault, others) if others else "the plan has no other"
        return f"'{when.fault}' is no fault; {hint}"
    circle = _circle(fault, named)
    if circle:
        return f"none of these ever comes, for each waits for the next: {', '.join(circle)}"
    if when.state == "active" and when.for_s:
        if other.instant:
            return (
                f"a {other.kind} happens at once; write {other.name} over for {format_duration(when.for_s)}"
            )
        if other.duration_s is not None and when.for_s >= other.duration_s:
            lasts = format_duration(other.duration_s)
            return f"{other.name} is over after {lasts}; give less, or wait for {other.name} over"
    return ""


def _circle(fault: Fault, named: dict[str, Fault]) -> list[str]:
    """The names from `fault` back to itself; empty when it does not wait for itself."""
    way: list[str] = []
    step: Fault | None = fault
    while step is not None and step.name not in way:
        way.append(step.name)
        step = named.get(step.when.fault) if step.when is not None and step.when.fault is not None else None
    return [*way, fault.name] if step is fault else []
