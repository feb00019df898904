"""Checks, a condition on what one measure found; and bindings, which say what checks tell of a control.

A check is written once, in `data/checks.yaml`, and shared between the frameworks: each framework's
`data/<framework>/bindings.yaml` says which of its controls it tells of, wholly or in part, and the profile's
parameters say how strict it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from compliance.condition import Condition, NotKnown
from compliance.measurement import Measurement

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
Coverage = Literal["full", "partial"]
Answer = Literal["held", "failed", "not_known"]


@dataclass(frozen=True, slots=True)
class Check:
    """violation: what is wrong where it fails; `{field}` stands for what was measured, `{params.name}` for
    what the profile demands. remediation: steps. severity: ours, the frameworks define none. team: who
    mends it."""

    id: str
    measure: str
    condition: Condition
    violation: str
    remediation: tuple[str, ...]
    severity: Severity
    team: str


@dataclass(frozen=True, slots=True)
class Binding:
    """What one check says of one control. partial: the control asks for more than the check can see."""

    check: str
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check on one measurement. text: the violation, or why it is not known; empty: it
    held."""

    check: Check
    answer: Answer
    text: str
    evidence: str
    """The measurement's sha256."""


def judge(check: Check, measurement: Measurement, parameters: Mapping[str, Any]) -> Outcome:
    """Anything but a measurement that went well is not known, never a pass."""
    evidence = measurement.sha256
    if measurement.status != "ok":
        return Outcome(check, "not_known", f"{measurement.status}: {measurement.reason}", evidence)
    missing = sorted(check.condition.parameters - set(parameters))
    if missing:
        return Outcome(check, "not_known", f"the profile has no parameter {', '.join(missing)}", evidence)
    try:
        failing = check.condition.failing(measurement.value, parameters)
    except NotKnown as error:
        return Outcome(check, "not_known", str(error), evidence)
    if not failing:
        return Outcome(check, "held", "", evidence)
    seen = "; ".join(
        f"{term.field} is {_shown(measurement.value.get(term.field))}, and must be {term.operator} "
        f"{_shown(term.operand(parameters))}"
        for term in failing
    )
    return Outcome(check, "failed", f"{check.violation} ({seen})", evidence)


@cache
def checks() -> Mapping[str, Check]:
    """All that are built in, by id."""
    found = {}
    for name, each in yaml.safe_load(_text("checks.yaml")).items():
        steps = tuple(each["remediation"])
        condition = Condition.parse(each["assert"])
        found[name] = Check(
            name, each["measure"], condition, each["violation"], steps, each["severity"], each["team"]
        )
    return found


@cache
def bindings(framework: str) -> Mapping[str, tuple[Binding, ...]]:
    """What checks tell of the framework's controls, by the control's id; a control that none tells of is not
    in it."""
    found = yaml.safe_load(_text(framework, "bindings.yaml"))
    return {
        str(control): tuple(Binding(check, coverage) for check, coverage in each.items())
        for control, each in found.items()
    }


def _text(*path: str) -> str:
    return files("compliance").joinpath("data", *path).read_text(encoding="utf-8")


def _shown(value: Any, longest: int = 200) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."
