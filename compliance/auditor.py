"""An audit: takes each measure once, has its positive control confirm what passed, and rolls up the
controls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from chaos_locust.errors import ChaosError
from compliance.catalogue import Framework, Profile
from compliance.checks import Check, Outcome, bindings, checks, judge
from compliance.condition import NotKnown
from compliance.decisions import Decision
from compliance.measurement import Measurement, MeasurementStatus, Secrets
from compliance.measures.base import Measure, Unsupported
from compliance.measures.registry import measures
from compliance.result import AuditResult
from compliance.rollup import judged
from compliance.site import Site, Unreachable
from compliance.target import Target


@dataclass(frozen=True, slots=True)
class Times:
    """clock, sleep: seconds; now: the time of day."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Auditor:
    """One target. A measure is taken once, for however many frameworks. allow_disruptive: those too that may
    lock the canary account out. progress: is told of each measure before it is taken."""

    def __init__(
        self,
        target: Target,
        allow_disruptive: bool = False,
        times: Times | None = None,
        progress: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._target = target
        self._allow_disruptive = allow_disruptive
        self._times = times or Times()
        self._progress = progress
        self._secrets = Secrets()
        self._taken: dict[str, Measurement] = {}
        self._on_bad: dict[str, Measurement] = {}

    def audit(
        self,
        framework: Framework,
        profile: Profile,
        decisions: Sequence[Decision] = (),
        first_seen: Mapping[tuple[str, str], date] | None = None,
    ) -> AuditResult:
        """first_seen: of violations that earlier audits found, by control and check."""
        began_s, began = self._times.clock(), self._times.now()
        bound = bindings(framework.id)
        wanted = {each.check for control in profile.controls for each in bound.get(control, ())}
        used = {checks()[name].measure for name in wanted}
        for name in (each for each in measures() if each in used):  # in the order of the registry
            self._measurement(name)
        outcomes = {name: self._outcome(checks()[name], profile.parameters) for name in sorted(wanted)}
        about: dict[str, list[Decision]] = {}
        for decision in decisions:
            if decision.item.framework == framework.id:
                for control in decision.item.controls:
                    about.setdefault(control, []).append(decision)
        controls = tuple(
            judged(
                framework.controls[control],
                bound.get(control, ()),
                outcomes,
                about.get(control, ()),
                began.date(),
            )
            for control in profile.controls
        )
        return AuditResult(
            framework=framework,
            profile=profile,
            target=self._target.name,
            audited_at=began.isoformat(timespec="seconds"),
            today=began.date(),
            took_s=self._times.clock() - began_s,
            controls=controls,
            measurements={name: self._measurement(name) for name in sorted(used)},
            first_seen=first_seen or {},
        )

    def _outcome(self, check: Check, parameters: Mapping[str, Any]) -> Outcome:
        outcome = judge(check, self._measurement(check.measure), parameters)
        if outcome.answer != "held":
            return outcome
        unseen = unseen_on_bad(check, self._measurement_on_bad(check.measure), parameters)
        if not unseen:
            return outcome
        text = f"not believed: on a target that is bad on purpose the measure did not see it: {unseen}"
        return replace(outcome, answer="not_known", text=text)

    def measure(self, name: str) -> Measurement:
        """Taken anew."""
        measure = measures()[name]()
        return self._forbidden(measure) or self._take(measure, self._target)

    def measure_on_bad(self, name: str) -> Measurement:
        """The positive control: the same on a target of ours that is bad on purpose."""
        measure = measures()[name]()
        with measure.bad() as target:
            return self._take(measure, target)

    def _measurement(self, name: str) -> Measurement:
        if name not in self._taken:
            self._progress(name)
            self._taken[name] = self.measure(name)
        return self._taken[name]

    def _measurement_on_bad(self, name: str) -> Measurement:
        if name not in self._on_bad:
            self._on_bad[name] = self.measure_on_bad(name)
        return self._on_bad[name]

    def _forbidden(self, measure: Measure) -> Measurement | None:
        """Why it is not to be taken at all."""
        if missing := measure.lacks(self._target):
            return self._without_value(measure, "unsupported", f"the target names no {missing}")
        if measure.side_effect == "disruptive" and not self._allow_disruptive:
            why = f"it may disturb the target ({measure.says}); allow it with --allow-disruptive"
            return self._without_value(measure, "unsupported", why)
        return None

    def _take(self, measure: Measure, target: Target) -> Measurement:
        site = Site(target, self._secrets, self._times.clock, self._times.sleep, self._times.now)
        began_s, began = self._times.clock(), self._times.now()
        status: MeasurementStatus = "ok"
        value: Mapping[str, Any] = {}
        reason = ""
        try:
            value = measure.take(site)
        except Unreachable as error:
            status, reason = "unreachable", str(error)
        except Unsupported as error:
            status, reason = "unsupported", str(error)
        except ImportError as error:
            status = "unsupported"
            reason = f"it needs the package {error.name}: pip install 'chaos-locust[compliance]'"
        except ChaosError as error:
            status, reason = "error", str(error)
        except (
            Exception
        ) as error:  # what a target answers is not ours to foresee: it is not known, never passed
            status, reason = "error", f"{type(error).__name__}: {error}"
        return Measurement(
            measure.name,
            status,
            self._secrets.redacted_json(dict(value)),
            site.evidence,
            self._secrets.redacted(reason),
            began.isoformat(timespec="milliseconds"),
            round(self._times.clock() - began_s, 3),
        )

    def _without_value(self, measure: Measure, status: MeasurementStatus, reason: str) -> Measurement:
        return Measurement(
            measure.name, status, {}, (), reason, self._times.now().isoformat(timespec="milliseconds"), 0.0
        )


def unseen_on_bad(check: Check, control: Measurement, parameters: Mapping[str, Any]) -> str:
    """Of a positive control, the parts of the condition that do not fail where all of them must; empty:
    none."""
    if control.status != "ok":
        return f"{control.status}: {control.reason}"
    try:
        failing = check.condition.failing(control.value, parameters)
    except NotKnown as error:
        return str(error)
    unseen = [term for term in check.condition.terms if term not in failing]
    return "; ".join(f"{term.field} is {control.value.get(term.field)!r}" for term in unseen)
