"""`chaos-locust check PLAN`: every problem, what would happen when, and what could not be decided."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.errors import InvalidPlan
from chaos_locust.plan.check import check_plan
from chaos_locust.plan.documents import load_plan
from chaos_locust.reports.checked import render_checked


def check(
    plan: Annotated[Path, typer.Argument(help="The plan, a YAML file.")],
    offline: Annotated[
        bool, typer.Option("--offline", help="Look at the plan alone, not at the world.")
    ] = False,
    results: Annotated[Path, typer.Option(help="The folder that the reports would go to.")] = Path("results"),
) -> None:
    """Show every problem of a plan, its steps and faults with their times, and what they would touch."""
    from chaos_locust.backends.preflight import preflight
    from chaos_locust.companions import companion_problems, planned_invariants
    from chaos_locust.leases.claims import refuse_taken

    document = load_plan(plan, os.environ)
    checked = check_plan(document)
    typer.echo(render_checked(document, checked, planned_invariants(document)))
    if problems := (*checked.problems, *companion_problems(document, offline)):
        raise InvalidPlan(problems)
    if not offline:
        refuse_taken(document, os.environ)
        preflight(document, results)
        typer.echo("Everything that the plan needs is there.")
