"""Every check is about something that is measured, and about controls and parameters that there are."""

from __future__ import annotations

from string import Formatter

import pytest

from compliance.catalogue import FRAMEWORKS, load
from compliance.checks import LISTS, SEVERITIES, bindings, checks
from compliance.measures.registry import measures


@pytest.mark.parametrize("name", sorted(checks()))
def test_a_check_is_about_what_is_measured(name: str) -> None:
    check = checks()[name]
    assert check.measure in measures()
    assert check.condition.fields <= set(measures()[check.measure].fields)
    assert check.severity in SEVERITIES
    assert check.violation.endswith(".")
    assert {name for _, name, *_ in Formatter().parse(check.violation) if name is not None} <= set(
        measures()[check.measure].fields
    )
    assert set(check.says) <= set(FRAMEWORKS)
    assert all(text.endswith(".") for text in check.says.values())
    assert check.remediation
    assert all(step.endswith(".") for step in check.remediation)
    assert check.team
    assert set(check.controls) <= {name for names in LISTS.values() for name in names}
    assert any(check.controls.values()), "it tells of no control"
    assert {each for ids in check.controls.values() for each in ids.values()} <= {"full", "partial"}


@pytest.mark.parametrize("name", sorted(measures()))
def test_every_measure_is_judged(name: str) -> None:
    measure = measures()[name]
    fields = {
        field for check in checks().values() if check.measure == name for field in check.condition.fields
    }
    assert fields, "no check is over it"
    assert not measure.says.endswith(".")
    assert set(measure.fields)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_controls_and_parameters_are_there(framework: str) -> None:
    found = load(framework)
    bound = bindings(framework)
    assert bound
    assert set(bound) <= set(found.controls), sorted(set(bound) - set(found.controls))
    for profile in found.profiles.values():
        for control in profile.controls:
            for binding in bound.get(control, ()):
                missing = checks()[binding.check].condition.parameters - set(profile.parameters)
                assert not missing, f"{profile.name}: {binding.check} needs {sorted(missing)}"
