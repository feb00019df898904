"""`chaos-locust proxy`: the embedded proxy, with the options of Toxiproxy's server."""

from __future__ import annotations

import typer

CONTEXT_SETTINGS = {"ignore_unknown_options": True, "allow_extra_args": True}


def proxy(context: typer.Context) -> None:
    """Run the embedded proxy: Toxiproxy's API and options (-host, -port, -config, -proxy-metrics)."""
    from chaos_locust.proxy import main

    raise typer.Exit(main(context.args))
