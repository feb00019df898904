"""`python -m chaos_locust.demo serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.demo.serve import serve
from chaos_locust.demo.settings import DEFECTS, LAPSES

app = typer.Typer(add_completion=False, help="The shop behind the proxy, to try faults on.")


@app.callback()
def main() -> None:
    """Keeps `serve` a command of its own."""


@app.command("serve")
def serve_command(
    defect: Annotated[
        str | None, typer.Option(help=f"Plant one defect: {', '.join([*DEFECTS, *LAPSES])}.")
    ] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written as JSON once everything answers.")] = None,
    ports: Annotated[str, typer.Option(help="default, or free to pick ports nobody uses.")] = "default",
    clock: Annotated[
        bool, typer.Option("--clock", help="Give the shop a clock that faults can set (libfaketime).")
    ] = False,
) -> None:
    """Run the shop with its database, cache, payments, identity and proxy until Ctrl-C."""
    raise typer.Exit(serve(defect, ready_file, ports, clock))


if __name__ == "__main__":
    app()
