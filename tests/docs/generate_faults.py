"""Writes the catalogue in docs/faults.md anew, from the classes: `python -m tests.docs.generate_faults`.

What stands outside the two marks is written by hand, and kept.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from chaos_locust.catalogue import COMMON, Kind, Parameter, kind_of
from chaos_locust.faults.registry import BUILT_IN

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN = "<!-- The catalogue: made by python -m tests.docs.generate_faults. Do not edit it here. -->"
END = "<!-- The end of the catalogue. -->"
TITLES = {
    "proxy": "Links",
    "http": "HTTP over links",
    "packets": "Packets",
    "process": "Processes",
    "resources": "CPU, memory, file descriptors",
    "files": "Files and disks",
    "clock": "Clocks",
    "containers": "Containers",
    "kubernetes": "Kubernetes",
    "chaos_mesh": "Chaos Mesh",
    "postgres": "PostgreSQL",
    "redis": "Redis and Valkey",
}


def catalogue() -> str:
    kinds = [kind_of(cls) for cls in BUILT_IN]
    lines = ["Every fault takes:", "", *_table(COMMON)]
    families = sorted(kinds, key=lambda kind: list(TITLES).index(kind.family))
    for family, members in groupby(families, key=lambda kind: kind.family):
        lines += ["", f"### {TITLES[family]}"]
        for kind in members:
            lines += ["", f"#### `{kind.kind}`", "", *_described(kind)]
    return "\n".join(lines)


def renewed(text: str) -> str:
    """The page with the catalogue as it should be now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{catalogue()}\n\n{END}{after}"


def _described(kind: Kind) -> list[str]:
    needs = " and ".join(f"`{key}`" if key.isidentifier() else key for key in kind.needs)
    facts = [f"The target has {needs}."] if needs else []
    if kind.extra is not None:
        facts.append(f"Install `chaos-locust[{kind.extra}]`.")
    if kind.instant:
        facts.append("Happens at once: no `for`.")
    facts += [f"Undone: {kind.undo}.", f"Proved by: {kind.effect}."]
    lines = [f"{_sentence(kind.summary)} {' '.join(kind.about.split())}".strip(), "", " ".join(facts)]
    return [*lines, "", *_table(kind.parameters)] if kind.parameters else lines


def _table(parameters: tuple[Parameter, ...]) -> list[str]:
    lines = ["| key | value | default | |", "|---|---|---|---|"]
    for each in parameters:
        default = "needed" if each.required else f"`{each.default}`" if each.default else ""
        cells = (f"`{each.name}`", each.type, default, each.description)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return lines


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
