"""`chaos-locust cleanup`: undo everything that a dead run left behind."""

from __future__ import annotations

from typing import Annotated

import typer

from chaos_locust.errors import BackendError
from chaos_locust.judge.verdict import EXIT_DIRTY
from chaos_locust.leases.cleanup import cleanup as undo_leases


def cleanup(
    scan: Annotated[
        bool, typer.Option(help="Also look on this machine for our marks that no lease tells of.")
    ] = False,
    proxy_api: Annotated[
        list[str] | None, typer.Option(help="Address of a Toxiproxy to look at with --scan; may be repeated.")
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="Also look there: http://... (a proxy's API), postgres://..., redis://..., "
            "kubernetes://CONTEXT?namespace=NAME, /folder; may be repeated."
        ),
    ] = None,
) -> None:
    """Undo what a dead run left behind. Runs that are alive are left alone."""
    try:
        undone = undo_leases(
            scan=scan,
            proxy_apis=proxy_api or [],
            places=at or [],
            tell=lambda line: typer.echo(line, err=True),
        )
    except BackendError as error:
        typer.echo(f"chaos-locust: the target is still dirty: {error}", err=True)
        raise typer.Exit(EXIT_DIRTY) from error
    for line in undone:
        typer.echo(line)
    if not undone:
        typer.echo("Nothing to undo.")
