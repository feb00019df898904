"""An audit: takes each measure once, has its positive control confirm what passed, and rolls up the
controls of the framework.

The measures take their turns: what one does to the target (a log-in, a record) is what another looks at.
Positive controls touch no target, and go on beside them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
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

AT_ONCE = 3
"""Positive controls beside a measure: most of their time is waiting, and what is left fits two cores."""


@dataclass(frozen=True, slots=True)
class Times:
    """clock, sleep: seconds; now: the time of day."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Auditor:
    """One target. A measure is taken once, for however many frameworks. allow_disruptive: those too that may
    lock the canary account out. progress: is told of each measure before it is taken, by the thread that
    audits."""

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
        self._over = threading.Event()

    def take(self, applying: Sequence[tuple[Framework, Profile]]) -> None:
        """The measures of several audits, which then take none anew: in one order for all of them, as what
        locks the canary out must come after all that log it in."""
        used = {
            checks()[each.check].measure
            for framework, profile in applying
            for control in profile.controls
            for each in bindings(framework.id).get(control, ())
        }
        for name in (each for each in measures() if each in used and each not in self._taken):
            self._progress(name)
            self._measurement(name)

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
        self._take_all([checks()[name] for name in sorted(wanted)], profile.parameters)
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
            on_bad={name: self._on_bad[name] for name in sorted(used) if name in self._on_bad},
        )

    def _take_all(self, wanted: Sequence[Check], parameters: Mapping[str, Any]) -> None:
        """The measures of these checks, in the order of the registry, and the positive controls of those on
        which a check held; each once. Raises what ends the audit, after all that goes on has ended."""
        about: dict[str, list[Check]] = {}
        for check in wanted:
            about.setdefault(check.measure, []).append(check)
        beside = {name: each.beside for name, each in measures().items() if name in about}
        self._over = threading.Event()
        pool = ThreadPoolExecutor(AT_ONCE, "positive-control")
        running: dict[str, Future[bool]] = {}
        try:
            for name in sorted(beside, key=lambda each: beside[each] != "everything"):
                if name not in self._taken:
                    self._progress(name)
                if beside[name] == "nothing":
                    wait(running.values())
                if beside[name] != "everything":
                    self._measurement(name)
                running[name] = pool.submit(self._is_confirmed, name, about[name], parameters)
            if not all(each.done() for each in running.values()):
                self._progress("positive controls")
            confirmed = {name: each.result() for name, each in running.items()}
        except BaseException:
            self._over.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        for name in (each for each in beside if beside[each] == "nothing" and not confirmed[each]):
            self._on_bad[name] = self.measure_on_bad(name)  # as the measure was taken: alone

    def _is_confirmed(self, name: str, about: Sequence[Check], parameters: Mapping[str, Any]) -> bool:
        """Whether each of the checks that hold fails on the bad target, which is made where one holds."""
        found = self._measurement(name)
        held = [each for each in about if judge(each, found, parameters).answer == "held"]
        return not any(unseen_on_bad(each, self._measurement_on_bad(name), parameters) for each in held)

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
        return self._forbidden(measure) or self._take(measure, nullcontext(self._target), self._secrets)

    def measure_on_bad(self, name: str) -> Measurement:
        """The positive control: the same on a target of ours that is bad on purpose. Its secrets are of its
        own: an `admin` of ours is no reason to blot out theirs."""
        measure = measures()[name]()
        return self._take(measure, measure.bad(), Secrets())

    def _measurement(self, name: str) -> Measurement:
        if name not in self._taken:
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

    def _take(self, measure: Measure, made: AbstractContextManager[Target], secrets: Secrets) -> Measurement:
        times, over = self._times, self._over
        began_s, began = times.clock(), times.now()
        status: MeasurementStatus = "ok"
        value: Mapping[str, Any] = {}
        evidence: tuple[str, ...] = ()
        reason = ""
        try:
            with made as target:
                site = Site(target, secrets, times.clock, times.sleep, times.now, over)
                try:
                    value = measure.take(site)
                finally:
                    evidence = site.evidence
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
            secrets.redacted_json(dict(value)),
            evidence,
            secrets.redacted(reason),
            began.isoformat(timespec="milliseconds"),
            round(times.clock() - began_s, 3),
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
