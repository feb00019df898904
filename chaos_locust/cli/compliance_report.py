"""`chaos-locust compliance report`: the document of the latest audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.errors import ChaosError


def report(
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("compliance-report.json"),
    framework: Annotated[str | None, typer.Option(help="The latest by this one; without: of all.")] = None,
    audits: Annotated[Path, typer.Option(help="The folder that audits were written to.")] = Path("results"),
) -> None:
    """Write the latest audit's document, audit.json, as it was made; nothing is measured anew."""
    from compliance.catalogue import load
    from compliance.history import latest

    if framework is not None:
        load(framework)
    path, document = latest(audits, framework)
    try:
        output.write_bytes(path.read_bytes())
    except OSError as error:
        raise ChaosError(f"--output: {output}: {error.strerror}") from None
    audited = f"{document['framework']} {document['profile']} of {document['target']}"
    typer.echo(f"{audited}, {document['audited_at']}: {document['outcome']}")
    typer.echo(f"{output}, from {path}")
