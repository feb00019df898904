"""`chaos-locust faults`: every kind of fault, its parameters, what it needs and how it is undone."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from chaos_locust.faults.registry import KINDS


def faults() -> None:
    """List every kind of fault: parameters, what it needs, how it is undone."""
    table = Table(box=None, pad_edge=False)
    for heading in ("kind", "what it does", "parameters", "needs", "undone by"):
        table.add_column(heading, overflow="fold")
    common = {"name", "target", "kind", "at", "when", "for"}
    for kind, fault in sorted(KINDS.items()):
        parameters = ", ".join(key for key in fault.document_keys() if key not in common)
        table.add_row(kind, fault.summary, parameters, fault.family, fault.undo)
    Console(soft_wrap=False).print(table)
    typer.echo("Every fault takes: name, target, at or when, and (unless it is instant) for.")
