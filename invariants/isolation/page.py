"""The table as text for a terminal and as one HTML file."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from invariants.isolation.load import Loaded
from invariants.isolation.measure import Cell, IsolationTable
from invariants.isolation.promises import ANOMALIES, SOURCE

_HEADINGS = ("level", "work", "committed", "conflicts", "tried again", "succeeded then", "seen")


def rendered(table: IsolationTable) -> RenderableType:
    """For rich."""
    cells = Table("anomaly", *table.said, title=table.server, title_justify="left")
    for anomaly in ANOMALIES:
        row = [table.cell(level, anomaly.name) for level in table.said]
        cells.add_row(f"{anomaly.name} {anomaly.short}".strip(), *(_text(cell) for cell in row))
    loads = Table(*_HEADINGS, title="at the same time", title_justify="left")
    for load in table.loads:
        loads.add_row(*map(str, figures(load)), style="red" if load.impossible else "")
    said = "\n".join([*table.sentences, f"What is promised: {SOURCE}", table.outcome])
    return Group(cells, loads, Text(said))


def html(table: IsolationTable) -> str:
    """One file that needs nothing else."""
    environment = Environment(
        loader=PackageLoader("invariants.isolation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("isolation.html.j2").render(
        table=table, anomalies=ANOMALIES, source=SOURCE, headings=_HEADINGS, figures=figures
    )


def figures(load: Loaded) -> tuple[str | int, ...]:
    """What a row tells of work that ran at the same time."""
    seen = [name if count is None else f"{name} ({count})" for name, count in load.seen.items()]
    tries = load.tries
    return (
        load.level,
        load.work,
        tries.committed,
        tries.conflicts,
        tries.retried,
        tries.succeeded,
        ", ".join(seen) or load.inconclusive or "nothing",
    )


def _text(cell: Cell) -> Text:
    if cell.broken:
        return Text(cell.word, style="bold red")
    return Text(cell.word, style="green" if cell.promised else "yellow" if cell.seen else "")
