"""`chaos-locust faults [KIND]`: every kind of fault, its parameters, what it needs and how it is undone."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from chaos_locust.catalogue import COMMON, Kind, Parameter, kind_of
from chaos_locust.data import did_you_mean
from chaos_locust.errors import ChaosError
from chaos_locust.faults.registry import KINDS

WIDE = 200


def faults(
    kind: Annotated[str | None, typer.Argument(help="Tell everything of this kind.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")] = False,
) -> None:
    """List every kind of fault: parameters, what it needs, how it is undone."""
    if kind is not None and kind not in KINDS:
        raise ChaosError(f"'{kind}' is no fault kind; {did_you_mean(kind, KINDS)}")
    if kind is not None:
        found = kind_of(KINDS[kind])
        if as_json:
            typer.echo(json.dumps(found.to_json(), indent=2))
        else:
            _print_one(found)
        return
    kinds = [kind_of(cls) for cls in KINDS.values()]
    if as_json:
        typer.echo(json.dumps([found.to_json() for found in kinds], indent=2))
    else:
        _print_all(kinds)


def _print_all(kinds: list[Kind]) -> None:
    table = _table("kind", "what it does", "its own keys", "target has", "undone by")
    for found in kinds:
        keys = ", ".join(parameter.name for parameter in found.parameters)
        table.add_row(found.kind, found.summary, keys, " and ".join(found.needs), found.undo)
    _print(table)
    typer.echo("Every fault takes: name, target, at or when, and (unless it is instant) for.")
    typer.echo("More about one: chaos-locust faults KIND")


def _print_one(found: Kind) -> None:
    typer.echo(f"{found.kind}: {found.summary}\n\n{found.about}\n")
    table = _table("key", "value", "default", "")
    lasting = [each for each in COMMON if not (found.instant and each.name == "for")]
    for parameter in (*lasting, *found.parameters):
        table.add_row(parameter.name, parameter.type, _default(parameter), parameter.description)
    _print(table)
    facts = [
        ("the target has", " and ".join(found.needs)),
        ("undone by", found.undo),
        ("proved by", found.effect),
    ]
    if found.extra:
        facts.insert(1, ("install", f"pip install 'chaos-locust[{found.extra}]'"))
    typer.echo("\n" + "\n".join(f"{heading}: {text}" for heading, text in facts if text))


def _default(parameter: Parameter) -> str:
    return "needed" if parameter.required else parameter.default or ""


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=index == 0)
    return table


def _print(table: Table) -> None:
    """As wide as the terminal; what goes into a file or a pipe is not cut up."""
    terminal = Console()
    (terminal if terminal.is_terminal else Console(width=WIDE)).print(table)
