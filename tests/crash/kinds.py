"""Every kind of fault that has a cell: `CELLS` of each module `cells_*` beside this one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from .cell import Cell


def _found() -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    for path in sorted(Path(__file__).parent.glob("cells_*.py")):
        for kind, cell in import_module(f"{__package__}.{path.stem}").CELLS.items():
            if kind in cells:
                raise ValueError(f"{kind} has two cells; the second is in {path.name}")
            cells[kind] = cell
    return cells


CELLS: Mapping[str, Cell] = _found()
