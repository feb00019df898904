"""Experiments with a name: one failure of a service in an environment that is described once.

experiment = ChaosExperiment.cpu_throttling("staging.yaml", "checkout", limit="20%")
result = experiment.run()
assert result.recovery_time_ms is not None and result.recovery_time_ms < 120_000
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from chaos_locust.cli.run_plan import locustfile_of
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.experiment_result import ExperimentResult, result_of
from chaos_locust.finished_run import run_to_end
from chaos_locust.plan.check import check_plan
from chaos_locust.plan.documents import load_plan, parse_plan
from chaos_locust.plan.expected import Expected
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.units import format_duration

Cluster = str | Path | Mapping[str, Any] | Plan
"""An environment: a plan that says host, load and targets; the file that it is in, its keys, or itself."""

DURATION = "30s"


@dataclass(frozen=True, slots=True)
class ChaosExperiment:
    """plan: what is run, with the environment's own objectives. faults: those of the experiment, in order.

    Each of the methods that make one takes `at` (by default as soon as the baseline allows) and `duration`;
    `service` is the name of a target. All raise InvalidPlan.
    """

    name: str
    plan: Plan
    faults: tuple[str, ...]

    @classmethod
    def pod_kill(cls, cluster: Cluster, service: str, count: int | str = 1, *, at: str | None = None) -> Self:
        """So many of the service's pods are killed (2, 50% or all), drawn by the plan's seed. A service
        outside of Kubernetes is one process or container, which is killed."""
        plan = _plan_of(cluster)
        target = plan.targets.get(service)
        if target is None or target.kubernetes is not None:
            fault: dict[str, Any] = {"kind": "pod_kill", "target": service, "count": count}
        elif str(count) != "1":
            raise InvalidPlan([Problem(f"targets.{service}", f"is one instance; {count} cannot be killed")])
        else:
            fault = {"kind": "kill" if target.pidfile is not None else "container_kill", "target": service}
        return cls._single("pod-kill", cluster, fault, at, None)

    @classmethod
    def cpu_throttling(
        cls,
        cluster: Cluster,
        service: str,
        *,
        limit: str = "20%",
        at: str | None = None,
        duration: str = DURATION,
    ) -> Self:
        """The service may use only this share of one core."""
        fault = {"kind": "cpu_throttle", "target": service, "limit": limit}
        return cls._single("cpu-throttling", cluster, fault, at, duration)

    @classmethod
    def memory_pressure(
        cls,
        cluster: Cluster,
        service: str,
        *,
        level: str = "90%",
        at: str | None = None,
        duration: str = DURATION,
    ) -> Self:
        """The memory that the service has is filled to this level."""
        fault = {"kind": "memory_pressure", "target": service, "level": level}
        return cls._single("memory-pressure", cluster, fault, at, duration)

    @classmethod
    def disk_exhaustion(
        cls, cluster: Cluster, service: str, *, at: str | None = None, duration: str = DURATION
    ) -> Self:
        """The disk that the service writes to is full."""
        return cls._single("disk-exhaustion", cluster, {"kind": "disk_full", "target": service}, at, duration)

    @classmethod
    def clock_skew(
        cls,
        cluster: Cluster,
        service: str,
        *,
        offset: str = "120s",
        at: str | None = None,
        duration: str = DURATION,
    ) -> Self:
        """The service's clock is ahead by so much; behind with a minus."""
        fault = {"kind": "clock_skew", "target": service, "offset": offset}
        return cls._single("clock-skew", cluster, fault, at, duration)

    @classmethod
    def network_partition(
        cls, cluster: Cluster, service: str, *, at: str | None = None, duration: str = DURATION
    ) -> Self:
        """No packet comes through between the target's `addresses` and its `peers`; for a target that has a
        link only, nothing comes through that in either direction."""
        target = _plan_of(cluster).targets.get(service)
        if target is not None and target.has_link and target.addresses is None:
            fault = {"kind": "timeout", "target": service, "direction": "both"}
        else:
            fault = {"kind": "partition", "target": service}
        return cls._single("network-partition", cluster, fault, at, duration)

    @classmethod
    def cascading_failure(
        cls,
        cluster: Cluster,
        services: Sequence[str],
        *,
        then: str = "active for 1s",
        at: str | None = None,
        duration: str = DURATION,
    ) -> Self:
        """The services fail in this order, each when the one before has (`then`, as in `cascade:`). A target
        with a link is cut off, one with a process alone is killed."""
        plan = _plan_of(cluster)
        steps = [{"target": service, "kind": _failure(plan.targets.get(service))} for service in services]
        name = "cascading-failure"
        cascade = {"name": name, "at": at or _earliest(plan), "then": then, "for": duration, "steps": steps}
        labels = tuple(f"{name}-{index}" for index in range(1, len(services) + 1))
        return cls._made(name, plan, {"cascade": cascade}, labels)

    @classmethod
    def _single(
        cls, name: str, cluster: Cluster, fault: Mapping[str, Any], at: str | None, duration: str | None
    ) -> Self:
        """duration: None where it happens at once."""
        plan = _plan_of(cluster)
        lasts = {} if duration is None else {"for": duration}
        timed = {"name": name, **fault, "at": at or _earliest(plan), **lasts}
        faults = [*(other.to_json() for other in plan.faults), timed]
        return cls._made(name, plan, {"faults": faults}, (name,))

    @classmethod
    def _made(cls, name: str, plan: Plan, changes: Mapping[str, Any], faults: tuple[str, ...]) -> Self:
        title = f"{name.replace('-', ' ')}: {plan.name}"
        made = Plan.from_json({**plan.to_json(), **changes, "name": title})
        if problems := check_plan(made).problems:
            raise InvalidPlan(problems)
        return cls(name, made, faults)

    def run(self, results: Path | str = "results") -> ExperimentResult:
        """Runs it by `chaos-locust run` in a process of its own, and reads what came out of it.

        results: the run's folder is made in a new one in here. Raises ChaosError when the run could not
        start or crashed, DirtyTarget when the failure could not be undone.
        """
        done = run_to_end(self.plan, self.name, results)
        return result_of(self.plan, self.faults, done.recording(), done.verdict, done.folder)


def _plan_of(cluster: Cluster) -> Plan:
    """The environment as a plan; a locustfile that it names beside itself is found from anywhere."""
    if isinstance(cluster, Plan):
        return cluster
    if isinstance(cluster, Mapping):
        return parse_plan(cluster, os.environ)
    path = Path(cluster)
    plan = load_plan(path, os.environ)
    if plan.locustfile is None:
        return plan
    return plan.model_copy(update={"locustfile": str(locustfile_of(path, plan.locustfile).absolute())})


def _earliest(plan: Plan) -> str:
    """As soon as the plan has its baseline."""
    if plan.load is None:
        raise InvalidPlan([Problem("load", "is missing; an experiment needs one, to be measured")])
    expected = Expected(plan)
    return format_duration(expected.warmed_up_s + expected.least_baseline_s)


def _failure(target: Target | None) -> str:
    only_a_process = target is not None and not target.has_link and target.pidfile is not None
    return "kill" if only_a_process else "down"
