"""What objectives may ask of the targets themselves, besides what the load saw: `NAME(TARGET)`."""

from __future__ import annotations

from collections.abc import Mapping

from chaos_locust.data import did_you_mean
from chaos_locust.plan.model import Plan
from chaos_locust.plan.objectives import Measure, Objective

PROBES: Mapping[str, str] = {
    "ready_replicas": "pods that are ready",
    "desired_replicas": "pods that the workload wants",
    "missing_replicas": "so many fewer pods are ready than the workload wants",
    "hpa_desired": "pods that the workload's autoscaler wants",
    "hpa_current": "pods that the workload's autoscaler saw last",
    "restarts": "containers that were started again since the run began",
    "oom_killed": "containers that the kernel killed for want of memory since the run began",
}
"""Of a target in a Kubernetes cluster; all of them are counts."""

OF_AUTOSCALERS = ("hpa_desired", "hpa_current")
"""These ask the HorizontalPodAutoscaler of a deployment or stateful set."""

OF_WORKLOADS = ("desired_replicas", "missing_replicas", *OF_AUTOSCALERS)
"""These ask what a deployment or stateful set wants."""

SHOWN = ("ready_replicas", "desired_replicas", "restarts")
"""Read in any case of what a fault touches, or an objective asks, for the report."""


def probe_problem(plan: Plan, measure: Measure) -> str:
    """Why it cannot be read; empty: it can."""
    name, target = measure.probe_name or "", measure.probe_args or ""
    if name not in PROBES:
        return f"'{name}' is no probe; {did_you_mean(name, PROBES)}"
    if target not in plan.targets:
        hint = did_you_mean(target, plan.targets) if plan.targets else "the plan has no targets:"
        return f"'{target}' is no target; {hint}"
    part = plan.targets[target].kubernetes
    if part is None or part.is_nodes:
        return f"{name} needs a target whose kubernetes: gives pods, not {target}"
    if name in OF_WORKLOADS and part.workload is None:
        return f"{name} needs a target that is a deployment or a statefulset, not {part}"
    return ""


def probes_of(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Target -> the names of what is to be read of it."""
    rules = [rule for rule in plan.objectives if isinstance(rule, Objective)]
    rules += [*plan.steady_state, *(condition.rule for condition in plan.abort)]
    wanted = [(rule.measure.probe_args, rule.measure.probe_name) for rule in rules]
    looked_at = [target for target, _ in wanted if target] + [fault.target for fault in plan.faults]
    for place in dict.fromkeys(looked_at):
        target = plan.targets.get(place)
        if target is not None and target.kubernetes is not None and not target.kubernetes.is_nodes:
            has_workload = target.kubernetes.workload is not None
            wanted += [(place, probe) for probe in SHOWN if has_workload or probe not in OF_WORKLOADS]
    found: dict[str, tuple[str, ...]] = {}
    for target_name, name in wanted:
        if target_name and name and name not in found.get(target_name, ()):
            found[target_name] = (*found.get(target_name, ()), name)
    return found
