"""What `check` prints: the plan expanded, with times, what it touches and what it can decide."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table

from chaos_locust.plan.check import Checked, PlannedFault
from chaos_locust.plan.decidable import PlannedObjective
from chaos_locust.plan.invariants import PlannedInvariant
from chaos_locust.plan.model import Plan
from chaos_locust.plan.objectives import RecoveryObjective
from chaos_locust.plan.parts import Target


def render_checked(
    plan: Plan, checked: Checked, invariants: Sequence[PlannedInvariant] = (), width: int = 100
) -> str:
    """Tables in plain text: steps, faults, objectives, invariants; then the warnings, one line each."""
    console = Console(file=StringIO(), width=width, no_color=True, highlight=False)
    console.print(
        f"{plan.name}\nload on {plan.host or 'the host given by --host'}, seed {plan.seed}", markup=False
    )
    unit = "/s" if plan.load is None or plan.load.workload == "open" else " users"
    steps = _table("step", "from", "to", "level")
    for step in checked.steps:
        levels = dict.fromkeys((f"{step.start_level:g}{unit}", f"{step.end_level:g}{unit}"))
        steps.add_row(step.name, f"{step.starts_s:g} s", f"{step.ends_s:g} s", " to ".join(levels))
    for phase in checked.phases:
        if phase.kind in ("warm_up", "baseline"):
            about = "" if phase.exact else " (about)"
            name = phase.label.replace("_", "-")
            steps.add_row(name, f"{phase.starts_s:g} s", f"{phase.ends_s:g} s{about}", "")
    faults = _table("fault", "kind", "from", "to", "touches", "undone by")
    for fault in checked.faults:
        faults.add_row(*_fault_row(plan, fault))
    objectives = _table("objective", "samples", "needed", "can be decided")
    for row in checked.objectives:
        objectives.add_row(*_objective_row(row))
    judged = _table("invariant", "must hold", "looks at", "options")
    for planned in invariants:
        judged.add_row(*_invariant_row(planned))
    for table in (steps, faults, objectives, judged):
        if table.row_count:
            console.print()
            console.print(table)
    if checked.warnings:
        console.print()
    for warning in checked.warnings:
        console.print(f"warning: {warning}", markup=False)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().rstrip()


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _fault_row(plan: Plan, planned: PlannedFault) -> list[str]:
    fault = planned.fault
    when = (
        f"{planned.starts_s:g} s"
        if planned.exact
        else f"{fault.when}, {planned.starts_s:g} s at the earliest"
    )
    ends = "at once" if fault.instant else f"{planned.ends_s:g} s"
    target = plan.targets.get(fault.target)
    return [fault.name, fault.kind, when, ends, _touched(plan, fault.target, target), fault.undo]


def _touched(plan: Plan, name: str, target: Target | None) -> str:
    if target is None:
        return f"{name} (unknown)"
    parts = []
    if target.proxy:
        parts.append(f"proxy {target.proxy} at {plan.proxy_api}")
    if target.upstream:
        parts.append(f"{target.listen} in front of {target.upstream}")
    if target.pidfile:
        parts.append(f"the process of {target.pidfile}")
    if target.path:
        parts.append(target.path)
    if target.container:
        parts.append(f"the container {target.container}")
    if target.kubernetes:
        parts.append(str(target.kubernetes))
    return f"{name}: {', '.join(parts)}"


def _objective_row(row: PlannedObjective) -> list[str]:
    samples = "unknown" if row.samples is None else str(row.samples)
    if isinstance(row.objective, RecoveryObjective):
        samples = f"{row.ends_s - row.starts_s:g} s left"
    verdict = {True: "yes", False: "NO", None: "depends"}[row.decidable]
    return [
        row.objective.text,
        samples,
        str(row.needed),
        f"{verdict}: {row.reason}" if row.reason else verdict,
    ]


def _invariant_row(row: PlannedInvariant) -> list[str]:
    invariant = row.invariant
    options = [f"{name} {value}" for name, value in row.options.items()]
    options += [f"severity {invariant.severity}"] if invariant.severity != "error" else []
    looked_at = ", ".join(row.kinds) or "all operations"
    looked_at += f" on {invariant.keys}" if invariant.keys is not None else ""
    return [invariant.check, row.statement, looked_at, ", ".join(options)]
