"""Faults that cannot act as planned: no means at the target, not allowed, too late, in each other's way."""

from __future__ import annotations

from itertools import combinations
from urllib.parse import urlsplit

from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.plan.allow import may_reach
from chaos_locust.plan.expected import Expected
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.units import format_duration

LATE_S = 1.0
"""So much must be left of the load after a fault that waits for another one."""

_WORDS = {"link": "proxy, or upstream and listen"}


def target_problems(plan: Plan) -> list[Problem]:
    """Faults whose target cannot be touched in their way, and targets that are not allowed."""
    problems = []
    for place, fault in plan.placed_faults():
        target = plan.targets.get(fault.target)
        missing = _missing(fault, target) if target else ""
        if missing:
            text = f"{fault.kind} needs {missing}, which the target '{fault.target}' does not give"
            problems.append(Problem(f"{place}.target", text))
    problems += _outside_of_cluster(plan)
    addresses: list[tuple[str, str]] = []
    for name, target in plan.targets.items():
        addresses += [(f"targets.{name}.{key}", host) for key, host in target.hosts()]
    if any(target.proxy or target.upstream for target in plan.targets.values()):
        addresses.append(("proxy_api", urlsplit(plan.proxy_api).hostname or ""))
    for place, host in addresses:
        if may_reach(host, plan.allow) is False:
            problems.append(
                Problem(place, f"{host} is not allowed; put it into allow: if faults may touch it")
            )
    return problems


def _outside_of_cluster(plan: Plan) -> list[Problem]:
    """Namespaces and nodes that faults may not touch."""
    problems = []
    for name, target in plan.targets.items():
        wanted, place = target.kubernetes, f"targets.{name}.kubernetes"
        if wanted is None:
            continue
        if wanted.is_nodes and not plan.kubernetes.nodes:
            text = "nodes are not allowed; give kubernetes: {nodes: true} if faults may touch them"
            problems.append(Problem(place, text))
        if wanted.namespace is not None and wanted.namespace not in plan.kubernetes.namespaces:
            text = f"{wanted.namespace} is not allowed; put it into kubernetes.namespaces to allow it"
            problems.append(Problem(f"{place}.namespace", text))
    return problems


def fault_problems(plan: Plan, expected: Expected) -> list[Problem]:
    """Faults that do not fit into the load, and pairs that cannot both act."""
    problems = []
    end_s = expected.load.duration_s
    for place, fault in plan.placed_faults():
        onset_s, over_s = expected.onset_s(fault), expected.over_s(fault)
        follows = fault.when is not None and fault.when.fault is not None
        if onset_s >= end_s:
            key = "at" if fault.at_s is not None else "when"
            when = "comes" if fault.at_s is not None else "comes at the earliest"
            text = f"{when} at {format_duration(onset_s)}, but the load ends at {format_duration(end_s)}"
            problems.append(Problem(f"{place}.{key}", text))
        elif over_s > end_s - (LATE_S if follows else 0.0) + 1e-9:
            text = f"ends at {format_duration(over_s)}, but the load ends at {format_duration(end_s)}"
            if follows:
                text += f"; leave {format_duration(LATE_S)}, for what it waits for may be confirmed late"
            problems.append(Problem(f"{place}.for", text))
    for (first, one), (second, other) in combinations(plan.placed_faults(), 2):
        same = _same(plan, one, other)
        if (
            same
            and (reason := one.clashes_with(other) or other.clashes_with(one))
            and _meet(expected, one, other)
        ):
            text = f"cannot act together with {first} ({one.name}) on {same}: {reason}"
            problems.append(Problem(second, text))
    return problems


def _missing(fault: Fault, target: Target) -> str:
    missing = [_WORDS.get(key, key) for key in fault.needs if not target.gives(key)]
    return " and ".join(missing)


def _same(plan: Plan, one: Fault, other: Fault) -> str:
    """What both act on: one target, or two that name one link or process; empty when it is not the same."""
    if one.target == other.target:
        return one.target
    first, second = plan.targets.get(one.target), plan.targets.get(other.target)
    if first is None or second is None:
        return ""
    for need in set(one.needs) & set(other.needs):
        if need == "addresses":
            shared = set(first.addresses or ()) & set(second.addresses or ())
            if shared and first.namespace == second.namespace:
                return f"{one.target} and {other.target}, which have {', '.join(sorted(shared))} in common"
            continue
        for key in ("proxy", "listen") if need == "link" else (need,):
            if getattr(first, key) is not None and getattr(first, key) == getattr(second, key):
                return f"{one.target} and {other.target}, which have the same {key}"
    return ""


def _meet(expected: Expected, one: Fault, other: Fault) -> bool:
    """Whether their times overlap. One that waits for a condition can come any time from its earliest, if
    its condition does not follow from times."""
    if expected.is_over_before(one, other) or expected.is_over_before(other, one):
        return False
    (one_from, one_to), (other_from, other_to) = (_span(expected, fault) for fault in (one, other))
    if one_from == other_from:
        return True
    return one_from < other_to and other_from < one_to


def _span(expected: Expected, fault: Fault) -> tuple[float, float]:
    over_s = expected.over_s(fault)
    if fault.at_s is None:
        over_s = over_s + LATE_S if expected.is_timed(fault) else expected.load.duration_s
    return expected.onset_s(fault), over_s
