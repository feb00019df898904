"""Checks, a condition on what one measure found, and what they tell of the frameworks' controls.

A check is written once, in `data/checks/<topic>.yaml`, and shared between the frameworks: it says which of
their controls it tells of, wholly or in part, and a profile's parameters say how strict it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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

LISTS: Mapping[str, tuple[str, ...]] = {
    "fisma": ("nist",),
    "fedramp": ("nist", "ksi"),
    "soc2": ("soc2",),
    "hipaa": ("hipaa",),
    "pcidss": ("pcidss",),
}
"""The lists of controls that a framework takes its own from: those of SP 800-53 are in two frameworks."""


@dataclass(frozen=True, slots=True)
class Check:
    """violation: what is wrong where it fails; what was measured is added to it, and put where it has a
    `{field}`. remediation: steps. severity: ours, the frameworks define none: high where it is about
    encryption or access control, medium about audit logging or monitoring, low about documents and policies.
    team: who mends it. controls: by list (see LISTS) and id. says: by framework, what is said before it."""

    id: str
    measure: str
    condition: Condition
    violation: str
    remediation: tuple[str, ...]
    severity: Severity
    team: str
    controls: Mapping[str, Mapping[str, Coverage]]
    says: Mapping[str, str] = field(default_factory=dict)

    def told(self, value: Mapping[str, Any]) -> str:
        """The violation, with what was measured."""
        return self.violation.format_map({name: _shown(_listed(each)) for name, each in value.items()})


@dataclass(frozen=True, slots=True)
class Binding:
    """What one check says of one control. partial: the control asks for more than the check can see."""

    check: str
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check on one measurement. text: the violation, or why it is not known; empty: it
    held. was_tried: False: the target's description has nothing to look at, or it was not allowed."""

    check: Check
    answer: Answer
    text: str
    evidence: str
    """The measurement's sha256."""
    was_tried: bool = True


def judge(check: Check, measurement: Measurement, parameters: Mapping[str, Any]) -> Outcome:
    """Anything but a measurement that went well is not known, never a pass."""
    evidence = measurement.sha256
    if measurement.status != "ok":
        text = f"{measurement.status}: {measurement.reason}"
        return Outcome(check, "not_known", text, evidence, measurement.status != "unsupported")
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
    return Outcome(check, "failed", f"{check.told(measurement.value)} ({seen})", evidence)


@cache
def checks() -> Mapping[str, Check]:
    """All that are built in, by id."""
    found = {}
    for file in files("compliance").joinpath("data", "checks").iterdir():
        for name, each in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            found[name] = Check(
                name,
                each["measure"],
                Condition.parse(each["assert"]),
                each["violation"],
                tuple(each["remediation"]),
                each["severity"],
                each["team"],
                each["controls"],
                each.get("says", {}),
            )
    return found


def bindings(framework: str) -> Mapping[str, tuple[Binding, ...]]:
    """What checks tell of the framework's controls, by the control's id; a control that none tells of is not
    in it."""
    found: dict[str, tuple[Binding, ...]] = {}
    for check in checks().values():
        for list_ in LISTS[framework]:
            for control, coverage in check.controls.get(list_, {}).items():
                found[control] = (*found.get(control, ()), Binding(check.id, coverage))
    return found


def _listed(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _shown(value: Any, longest: int = 200) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."
