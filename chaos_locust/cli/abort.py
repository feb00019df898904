"""`chaos-locust abort RUN`: end a run now, and see that its faults are undone."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from chaos_locust.backends.state import leases_folder
from chaos_locust.errors import BackendError, ChaosError, LeaseError
from chaos_locust.judge.verdict import EXIT_DIRTY
from chaos_locust.leases.abort import abort as end_runs
from chaos_locust.leases.abort import find_runs
from chaos_locust.leases.store import LeaseStore


def abort(
    run: Annotated[str | None, typer.Argument(help="Its run id, or its results folder.")] = None,
    all_runs: Annotated[bool, typer.Option("--all", help="End every run of yours on this machine.")] = False,
) -> None:
    """End a run now: its faults are undone, its load drained, its report written."""
    if (run is None) == (not all_runs):
        raise ChaosError("abort: give either a run, by its id or its results folder, or --all")
    store = LeaseStore(leases_folder(os.environ))
    runs = find_runs(store, run)
    if not runs:
        typer.echo("No run with faults is alive.")
        return
    try:
        end_runs(runs, store, typer.echo)
    except (BackendError, LeaseError) as error:
        typer.echo(f"chaos-locust: the target is still dirty: {error}", err=True)
        raise typer.Exit(EXIT_DIRTY) from error
