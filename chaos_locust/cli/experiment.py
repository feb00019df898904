"""`chaos-locust experiment NAME --cluster FILE`: a service fails in an environment that is described once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.data import did_you_mean
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.experiments import ChaosExperiment
from chaos_locust.plan.documents import load_plan

EXPERIMENTS: Mapping[str, Callable[[Path, str], ChaosExperiment]] = {
    "cpu-throttling": ChaosExperiment.cpu_throttling,
    "memory-pressure": ChaosExperiment.memory_pressure,
    "disk-exhaustion": ChaosExperiment.disk_exhaustion,
    "clock-skew": ChaosExperiment.clock_skew,
    "network-partition": ChaosExperiment.network_partition,
}
"""Those of one service without more to say, besides pod-kill and cascading-failure."""

NAMES = ("pod-kill", "cascading-failure", *EXPERIMENTS)


def experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(NAMES)}.")],
    cluster: Annotated[Path, typer.Option(help="The environment: a plan with host, load and targets.")],
    service: Annotated[
        list[str] | None,
        typer.Option(help="A target of it; the only one need not be named. A cascade takes several."),
    ] = None,
    count: Annotated[str, typer.Option(help="So many pods, of pod-kill: 2, 50% or all.")] = "1",
    results: Annotated[Path, typer.Option(help="Its folder is made in a new one in here.")] = Path("results"),
) -> None:
    """Let a service fail, and judge by the environment's own objectives. Exits as `run` does."""
    if name not in NAMES:
        raise InvalidPlan([Problem("", f"'{name}' is no experiment; {did_you_mean(name, NAMES)}")])
    if count != "1" and name != "pod-kill":
        raise InvalidPlan([Problem("--count", f"has no effect on {name}")])
    services = service or _only_one(cluster)
    if name == "cascading-failure":
        made = ChaosExperiment.cascading_failure(cluster, services)
    elif len(services) != 1:
        raise InvalidPlan([Problem("--service", f"{name} takes one; {len(services)} are given")])
    elif name == "pod-kill":
        made = ChaosExperiment.pod_kill(cluster, services[0], count)
    else:
        made = EXPERIMENTS[name](cluster, services[0])
    result = made.run(results)
    typer.echo(f"{result.sentence}\n{result.folder}")
    raise typer.Exit(result.exit_code)


def _only_one(cluster: Path) -> list[str]:
    targets = list(load_plan(cluster, os.environ).targets)
    if len(targets) != 1:
        raise InvalidPlan([Problem("--service", f"is missing; {cluster} has {', '.join(targets) or 'none'}")])
    return targets
