"""What measures find on a small API server, and what checks say of it, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compliance.checks import checks, judge
from compliance.measurement import Measurement, Secrets
from compliance.measures.base import Measure
from compliance.measures.kubernetes.pods import Containers, DefaultToken, Host, Images, Limits
from compliance.measures.kubernetes.secrets import Environment
from compliance.site import Site
from tests.servers.kubernetes import api

OF_PODS: tuple[type[Measure], ...] = (Containers, Host, Images, Limits, DefaultToken, Environment)


def taken(measure: type[Measure], answers: Mapping[str, Any], **described: Any) -> Mapping[str, Any]:
    with api(answers, **described) as (target, _):
        return measure().take(Site(target, Secrets()))


def answers_of(measure: type[Measure], value: Mapping[str, Any]) -> dict[str, str]:
    found = Measurement(measure.name, "ok", value, (), "", "", 0.0)
    about = (each for each in checks().values() if each.measure == measure.name)
    return {each.id.removeprefix("kubernetes-"): judge(each, found, {}).answer for each in about}
