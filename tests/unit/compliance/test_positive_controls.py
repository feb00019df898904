"""No pass is believed without this: where everything is wrong, every part of every check fails."""

from __future__ import annotations

import pytest

from compliance.catalogue import FRAMEWORKS, load
from compliance.checks import checks
from compliance.measurement import Secrets
from compliance.measures.registry import measures
from compliance.site import Site


@pytest.mark.parametrize("name", sorted(measures()))
def test_every_check_fails_on_the_bad_target(name: str) -> None:
    measure = measures()[name]()
    with measure.bad() as target:
        value = measure.take(Site(target, Secrets()))
    assert set(value) == set(measure.fields)
    for check in (each for each in checks().values() if each.measure == name):
        for profile in (profile for each in FRAMEWORKS for profile in load(each).profiles.values()):
            if check.condition.parameters <= set(profile.parameters):
                failing = check.condition.failing(value, profile.parameters)
                assert failing == check.condition.terms, (check.id, profile.name, value)
