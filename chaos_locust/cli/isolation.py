"""`chaos-locust invariants isolation DSN`: what transactions of a PostgreSQL server see of each other."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.errors import ChaosError, DirtyTarget
from chaos_locust.judge.verdict import EXIT_CODES, EXIT_DIRTY, Outcome

WIDE = 160


def isolation(
    dsn: Annotated[str, typer.Argument(help="postgresql://user@host/database; PGPASSWORD is read too.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")] = False,
    output: Annotated[Path | None, typer.Option(help="Folder for isolation.html and isolation.json.")] = None,
) -> None:
    """Table of isolation levels by anomalies: what PostgreSQL promises, and what is seen on this server.

    The exit code is the verdict: 0 all that is promised holds, 3 something was seen that is promised
    to be impossible, 4 nothing can be said, 5 the target was left dirty.
    """
    from rich.console import Console

    from invariants.isolation.measure import measure
    from invariants.isolation.page import html, rendered
    from invariants.isolation.sessions import Isolated, Unsettled
    from invariants.machine import TargetDown

    target, errors = Isolated(dsn), Console(stderr=True)
    try:
        with errors.status("isolation") as status:
            table = measure(target, random.Random(), tell=status.update)
    except DirtyTarget as error:
        typer.echo(f"chaos-locust: the target is still dirty: {error}", err=True)
        raise typer.Exit(EXIT_DIRTY) from error
    except (TargetDown, Unsettled) as error:
        typer.echo(f"chaos-locust: nothing can be said: {error}", err=True)
        raise typer.Exit(EXIT_CODES[Outcome.INCONCLUSIVE]) from error
    if output is not None:
        try:
            output.mkdir(parents=True, exist_ok=True)
            (output / "isolation.html").write_text(html(table), encoding="utf-8")
            (output / "isolation.json").write_text(json.dumps(table.to_json(), indent=2), encoding="utf-8")
        except OSError as error:
            raise ChaosError(f"{output} cannot be written: {error.strerror}") from None
    if as_json:
        typer.echo(json.dumps(table.to_json(), indent=2))
    else:
        (Console() if sys.stdout.isatty() else Console(width=WIDE)).print(rendered(table))
    raise typer.Exit(EXIT_CODES[Outcome(table.outcome)])
