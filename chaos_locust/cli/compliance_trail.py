"""`chaos-locust compliance trail verify`: whether the trail is as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.judge.verdict import EXIT_CODES, Outcome

trail = typer.Typer(help="The trail of audits and decisions.", no_args_is_help=True)


@trail.callback()
def trail_() -> None:
    """The trail of audits and decisions."""


@trail.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The trail; audits in folders beside it are held against it.")],
) -> None:
    """Say which entry was changed, taken out, moved or cut off: 0 when none was, else 3."""
    from compliance.history import ChangedDocument, documents_in, told_by
    from compliance.trail import verify as verified

    told, changed = [], []
    for path in documents_in(file.parent):
        try:
            told += [each] if (each := told_by(path, file.name)) else []
        except ChangedDocument as error:
            changed.append(str(error))
    found = verified(file, told)
    for wrong in (*found.wrong, *changed):
        typer.echo(str(wrong))
    if found.wrong or changed:
        raise typer.Exit(EXIT_CODES[Outcome.DEVIATED])
    typer.echo(f"{found.entries} entries as they were written; the hash of the last one is {found.head}")
    typer.echo(f"held against {len(told)} audits beside it")
