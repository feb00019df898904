"""Does each planted lapse of the demo shop turn its controls, and does the healthy shop keep them all?

`python -m bench.compliance`: audits the healthy shop, then one with each lapse, by all five frameworks, and
prints which controls turned. Each time it says how long that took, and how long all that was measured would
have taken one after the other. `audit-gap-under-load` and `fails-open` show only under load and faults: those
are runs of `locustfiles/plans/compliance-*.yaml`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.shops import shop
from chaos_locust.demo.settings import LAPSES
from compliance.auditor import Auditor
from compliance.catalogue import FRAMEWORKS, load
from compliance.result import AuditResult
from compliance.target import load_target

PROFILES = {"fisma": "high", "fedramp": "class-d", "soc2": "all"}
"""The strictest, where its owner says which applies."""

UNDER_LOAD = ("audit-gap-under-load", "fails-open")
SHOWN, LONGEST = 6, 10


def audited(lapse: str | None) -> Mapping[str, AuditResult]:
    """By framework; each measure is taken once."""
    with shop(lapse) as variables:
        environ = {**os.environ, **variables}
        target = load_target(Path(variables["SHOP_TARGET"]), environ)
        auditor = Auditor(target, allow_disruptive=True)
        found = {}
        for name in FRAMEWORKS:
            framework = load(name)
            found[name] = auditor.audit(framework, framework.profile(PROFILES.get(name)))
        return found


def times(results: Iterable[AuditResult]) -> dict[str, float]:
    """Seconds by what was done, the longest first: measures, and positive controls as `NAME on bad`."""
    found: dict[str, float] = {}
    for result in results:
        found |= {name: each.took_s for name, each in result.measurements.items()}
        found |= {f"{name} on bad": each.took_s for name, each in result.on_bad.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def turned(result: AuditResult) -> list[str]:
    return [each.control.id for each in result.controls if each.state == "non_compliant"]


def cell(controls: Sequence[str]) -> str:
    more = f" +{len(controls) - SHOWN}" if len(controls) > SHOWN else ""
    return f"{len(controls)}: {', '.join(controls[:SHOWN])}{more}" if controls else "-"


def main(only: Annotated[list[str] | None, typer.Option(help="A lapse; may be repeated.")] = None) -> None:
    """Prints a table, and exits with 1 when the healthy shop violates anything, or a lapse nothing."""
    table = Table("lapse", "checks", *FRAMEWORKS, title="Controls that turned non-compliant")
    missed = False
    for lapse in (None, *(only or [each for each in LAPSES if each not in UNDER_LOAD])):
        results = audited(lapse)
        failed = sorted({each.check for result in results.values() for each in result.violations})
        cells = [cell(turned(result)) for result in results.values()]
        missed |= bool(failed) == (lapse is None)
        table.add_row(lapse or "none", "\n".join(failed) or "-", *cells)
        took = times(results.values())
        took_s, alone_s = sum(each.took_s for each in results.values()), sum(took.values())
        print(
            f"{lapse or 'none'}: {', '.join(failed) or 'nothing'}; {took_s:.1f} s, one after the other "
            f"{alone_s:.1f} s: {took_s / alone_s:.0%}",
            file=sys.stderr,
        )
        if lapse is None:
            for name, each_s in list(took.items())[:LONGEST]:
                print(f"  {each_s:.2f} s {name}", file=sys.stderr)
            unknown = {
                f"{outcome.check.id}: {outcome.text}"
                for result in results.values()
                for each in result.controls
                for outcome in each.outcomes
                if outcome.answer == "not_known"
            }
            for text in sorted(unknown):
                print(f"  not known: {text}", file=sys.stderr)
    Console(width=200).print(table)
    raise typer.Exit(int(missed))


if __name__ == "__main__":
    typer.run(main)
