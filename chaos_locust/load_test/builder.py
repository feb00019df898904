"""A load test in a few words: a URL, a profile and what is demanded.

result = LoadTest("http://127.0.0.1:8000").with_ramp_up(10, 1000).with_duration("5min").run()
assert result.passed_slo()
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.finished_run import run_to_end
from chaos_locust.load_test.profiles import Kind, Profile
from chaos_locust.load_test.requests import read_requests, with_ratio
from chaos_locust.load_test.result import LoadResult, result_of
from chaos_locust.plan.check import check_plan
from chaos_locust.plan.documents import parse_plan
from chaos_locust.plan.model import Plan
from chaos_locust.plan.steps import parse_load
from chaos_locust.units import format_duration, format_share, parse_duration

STANDARD = ("p99 <= 100ms during run", "error_rate <= 1% during run")
LONGEST_WARM_UP_S = 10.0
WARM_UP_SHARE = 0.1
"""Of the time of a short load; its requests are not judged."""

OURS = ("name", "host", "load", "requests", "locustfile")


@dataclass(frozen=True, slots=True)
class LoadTest:
    """Each method gives a new one, and a later profile takes the place of an earlier one.

    url: what is under load; a path in it is what is asked for, where no requests are given. objectives: as in
    a plan. Rates are in requests/s; durations are seconds or have a unit, such as `5min`. All raise
    InvalidPlan.
    """

    url: str
    profile: Profile | None = None
    requests: tuple[Mapping[str, Any], ...] = ()
    ratio: tuple[float, float] | None = None
    objectives: tuple[str, ...] = STANDARD
    faults: Mapping[str, Any] = field(default_factory=dict)

    def with_ramp_up(self, initial_rps: float, peak_rps: float) -> Self:
        """In a straight line; by default within a minute."""
        return self.with_profile(Kind.RAMP_UP, peak_rps, initial_rps)

    def with_spike(self, base_rps: float, peak_rps: float) -> Self:
        """After ten seconds at the base suddenly the peak, for half of the duration, and back for the other
        half; by default for 30 s each."""
        return self.with_profile(Kind.SPIKE, peak_rps, base_rps)

    def with_soak(self, rps: float, duration: str | float = "8h") -> Self:
        return self.with_profile(Kind.SOAK, rps).with_duration(duration)

    def with_stress(self, peak_rps: float, initial_rps: float | None = None) -> Self:
        """Up in equal steps until what is demanded no longer holds; by default from 10/s, in five minutes."""
        return self.with_profile(Kind.STRESS, peak_rps, initial_rps)

    def with_profile(self, kind: Kind, peak_rps: float, initial_rps: float | None = None) -> Self:
        duration_s = None if self.profile is None else self.profile.duration_s
        return replace(self, profile=Profile(kind, peak_rps, initial_rps, duration_s))

    def with_duration(self, duration: str | float) -> Self:
        """Of the profile, which has to be there."""
        if self.profile is None:
            raise InvalidPlan(
                [Problem("duration", "needs a profile; give it after ramp-up, spike, soak or stress")]
            )
        return replace(self, profile=replace(self.profile, duration_s=_seconds(duration)))

    def with_requests(self, requests: Path | str | Sequence[Mapping[str, Any]]) -> Self:
        """A plan's list of requests, or a file: that list, a HAR or an OpenAPI document. What cannot be sent
        of a document is left out."""
        if isinstance(requests, Path | str):
            found, _ = read_requests(Path(requests), self.url)
            return replace(self, requests=tuple(found))
        return replace(self, requests=tuple(requests))

    def with_read_write_ratio(self, read: float, write: float) -> Self:
        """GET, HEAD and OPTIONS against all other methods; the requests have to be given."""
        return replace(self, ratio=(read, write))

    def with_objectives(self, *objectives: str) -> Self:
        """Instead of a p99 of at most 100 ms and at most 1 % of errors."""
        return replace(self, objectives=objectives)

    def with_limits(self, p99: str | float | None = None, error_rate: float | None = None) -> Self:
        """Instead of all objectives. p99: with a unit, or in ms; error_rate: a share of one."""
        found = []
        if p99 is not None:
            limit_s = p99 / 1000 if isinstance(p99, int | float) else _seconds(p99)
            found.append(f"p99 <= {format_duration(limit_s)} during run")
        if error_rate is not None:
            found.append(f"error_rate <= {format_share(error_rate)} during run")
        return self.with_objectives(*found)

    def with_faults(self, faults: Path | str | Mapping[str, Any]) -> Self:
        """Keys of a plan: `faults`, `targets`, `proxy_api` and others, or a YAML file that has them."""
        given: Any = faults
        if isinstance(faults, Path | str):
            try:
                given = yaml.safe_load(Path(faults).read_text(encoding="utf-8"))
            except OSError as error:
                raise InvalidPlan([Problem(str(faults), f"cannot be read: {error.strerror}")]) from None
            except (yaml.YAMLError, UnicodeDecodeError):
                raise InvalidPlan([Problem(str(faults), "is not YAML")]) from None
        if not isinstance(given, Mapping):
            raise InvalidPlan([Problem("faults", "is no mapping; give keys of a plan: targets, faults")])
        if taken := [Problem(key, "is given by the load test; leave it out") for key in OURS if key in given]:
            raise InvalidPlan(taken)
        return replace(self, faults=dict(given))

    def plan(self, environ: Mapping[str, str] | None = None) -> Plan:
        """What is run. Raises InvalidPlan with every problem."""
        if self.profile is None:
            raise InvalidPlan([Problem("load", "is missing; give a profile: ramp-up, spike, soak or stress")])
        parts = urlsplit(self.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        requests: Sequence[Mapping[str, Any]] = self.requests or [{"path": path}]
        if self.ratio is not None:
            requests = with_ratio(requests, *self.ratio)
        host = f"{parts.scheme}://{parts.netloc}" if parts.netloc else self.url
        objectives = [*self.faults.get("objectives", ()), *self.objectives]
        load = self.profile.load()
        warm_up_s = min(LONGEST_WARM_UP_S, WARM_UP_SHARE * parse_load(load).duration_s)
        document: dict[str, Any] = {"name": f"{self.profile.kind} of {host}", "host": host, "load": load}
        document |= {"warm_up": format_duration(warm_up_s), **self.faults}
        document |= {"requests": list(requests), "objectives": objectives}
        plan = parse_plan(document, os.environ if environ is None else environ)
        if problems := check_plan(plan).problems:
            raise InvalidPlan(problems)
        return plan

    def run(self, results: Path | str = "results") -> LoadResult:
        """Runs it with Locust in a process of its own, and reads what came out of it.

        results: the run's folder is made in a new one in here. Raises ChaosError when the run could not
        start or crashed, DirtyTarget when a fault could not be undone.
        """
        plan = self.plan()
        assert self.profile is not None
        done = run_to_end(plan, self.profile.kind, results)
        return result_of(plan, done.recording(), done.verdict, done.folder)


def _seconds(duration: str | float) -> float:
    """Raises InvalidPlan."""
    if isinstance(duration, int | float):
        return float(duration)
    try:
        return parse_duration(duration)
    except ValueError as error:
        raise InvalidPlan([Problem("duration", str(error))]) from None
