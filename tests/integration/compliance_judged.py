"""What checks say of what a measure found, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compliance.checks import checks, judge
from compliance.measurement import Measurement, Secrets
from compliance.measures.base import Measure
from compliance.site import Site
from compliance.target import Target

PARAMETERS = {"log_retention_min_days": 365, "tls_min": 1.2, "account_inactive_max_s": 35 * 86400}


def site_of(target: Target) -> Site:
    return Site(target, Secrets())


def taken(measure: type[Measure], target: Target) -> Mapping[str, Any]:
    value = measure().take(site_of(target))
    assert set(value) == set(measure.fields)
    return value


def failed(measure: type[Measure], target: Target) -> set[str]:
    """The checks over the measure that fail. Those that do not know are no answer: the test fails."""
    answers = answers_of(measure, taken(measure, target))
    assert "not_known" not in answers.values(), answers
    return {check for check, answer in answers.items() if answer == "failed"}


def answers_of(measure: type[Measure], value: Mapping[str, Any]) -> dict[str, str]:
    found = Measurement(measure.name, "ok", value, (), "", "", 0.0)
    about = (each for each in checks().values() if each.measure == measure.name)
    return {each.id: judge(each, found, PARAMETERS).answer for each in about}
