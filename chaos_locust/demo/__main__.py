"""`python -m chaos_locust.demo serve`: all of the shop. `... run PART`: one of its processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.demo.apart import PARTS, run_part
from chaos_locust.demo.serve import serve
from chaos_locust.demo.settings import DEFECTS, LAPSES

app = typer.Typer(add_completion=False, help="The shop behind the proxy, to try faults on.")


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


@app.command("run")
def run_command(
    part: Annotated[str, typer.Argument(help=f"One of {', '.join(PARTS)}.")],
    listen: Annotated[str, typer.Option(help="HOST:PORT; 0.0.0.0 is every address.")] = "127.0.0.1:8000",
    state: Annotated[Path, typer.Option(help="The folder for what the process keeps.")] = Path("."),
) -> None:
    """Run one process of the shop until SIGTERM; its log is the output.

    The others are found by SHOP_DATABASE_URL, SHOP_CACHE_URL, SHOP_PAYMENTS_URL and SHOP_IDENTITY_URL.
    `prepare` makes the shop's tables in the database of SHOP_ADMIN_DATABASE_URL, a superuser's, and ends.
    """
    raise typer.Exit(run_part(part, listen, state, os.environ))


if __name__ == "__main__":
    app()
