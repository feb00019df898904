"""Nothing outlives its lease, whoever is killed and whenever: `python -m tests.crash.matrix`

For each kind of fault: kill -9 of the run, of its guardian, and of both, each before the lease, before the
fault, in the fault and during its revert. What is left is read by the kind's cell, from outside. A cell is
clean when nothing was left at the lease's deadline + 2 s where the guardian lived, nothing once its successor
or else `chaos-locust cleanup` was done, and a second cleanup found nothing.
"""

from __future__ import annotations

import random
import signal
import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer

from chaos_locust.faults.registry import KINDS

from .cell import NotHere
from .kinds import CELLS
from .play import POINTS, VICTIMS, Played, Point, Victim, play

LIMIT_S = 240
"""Of one cell, with the making of its target and its removal."""


@dataclass(frozen=True)
class Outcome:
    """One cell of the table. text: as it is printed; wrong: empty when it is clean; took_s: from the kill."""

    kind: str
    victim: Victim
    point: Point
    text: str
    wrong: str = ""
    took_s: float = 0.0


def cells_of(kind: str) -> list[tuple[str, Victim, Point]]:
    """What happens at once and cannot be undone has neither a lease nor a revert."""
    points = POINTS[1:3] if KINDS[kind].instant else POINTS
    return [(kind, victim, point) for victim in VICTIMS for point in points]


def one(kind: str, victim: Victim, point: Point, seed: str) -> Outcome:
    """Plays a cell; also what fails in it is an outcome."""
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT_S)
    try:
        with CELLS[kind]() as case:
            played = play(kind, case, victim, point, random.Random(f"{seed} {kind} {victim} {point}"))
    except NotHere as error:
        return Outcome(kind, victim, point, "not here", str(error))
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "crash" in frame.filename]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "elsewhere"
        return Outcome(kind, victim, point, "FAILED", f"{type(error).__name__} at {where}: {error}")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return _outcome(kind, victim, point, played)


def _too_long(*_: object) -> None:
    raise TimeoutError(f"the cell, or the removal of its target, takes longer than {LIMIT_S} s")


def _outcome(kind: str, victim: Victim, point: Point, played: Played) -> Outcome:
    wrong = "; ".join(played.wrong)
    text = "LEFT" if wrong else f"clean, {played.took_s:.1f} s"
    return Outcome(kind, victim, point, text, wrong, played.took_s)


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: kinds by points, for each victim."""
    found = {(o.kind, o.victim, o.point): o for o in outcomes}
    kinds = list(dict.fromkeys(o.kind for o in outcomes if o.text != "not here"))
    lines = ["| kind | killed | " + " | ".join(POINTS) + " |", "|---|---|" + "---|" * len(POINTS)]
    for kind in kinds:
        for victim in VICTIMS:
            row = [
                found[kind, victim, point].text if (kind, victim, point) in found else "" for point in POINTS
            ]
            if any(row):
                lines.append(f"| {kind} | {victim} | " + " | ".join(row) + " |")
    absent = {o.kind: o.wrong for o in outcomes if o.text == "not here"}
    if absent:
        lines += ["", "Not tried on this machine:", ""]
        lines += [f"- `{kind}`: {reason}" for kind, reason in absent.items()]
    return "\n".join(lines) + "\n"


def main(
    only: Annotated[list[str] | None, typer.Option(help="A kind of fault; may be repeated.")] = None,
    cells: Annotated[int, typer.Option(help="Only so many cells, drawn by the seed; 0: all.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the cells drawn, and of the instants.")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="So many cells at a time.")] = 2,
    output: Annotated[Path | None, typer.Option(help="Write the table there, as Markdown.")] = None,
) -> None:
    """Exit code 1 when a cell is not clean or a kind has no cell."""
    unknown = [kind for kind in only or () if kind not in CELLS]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: no such kind; there are {', '.join(CELLS)}")
    todo = [cell for kind in only or CELLS for cell in cells_of(kind)]
    if cells:
        todo = random.Random(seed).sample(todo, min(cells, len(todo)))
    outcomes = []
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for future in as_completed([pool.submit(one, *each, str(seed)) for each in todo]):
            outcomes.append(future.result())
            _print(outcomes[-1], f"{len(outcomes)}/{len(todo)}")
    outcomes.sort(key=lambda o: todo.index((o.kind, o.victim, o.point)))
    without = [] if only else sorted(set(KINDS) - set(CELLS))
    text = table(outcomes)
    if output is not None:
        output.write_text(text)
    print(text)
    bad = [o for o in outcomes if o.text in ("LEFT", "FAILED")]
    tried = [o for o in outcomes if o.text.startswith("clean")] + bad
    print(f"{len(tried) - len(bad)} of {len(tried)} cells are clean")
    for kind in without:
        print(f"{kind}: has no cell")
    sys.exit(1 if bad or without else 0)


def _print(outcome: Outcome, count: str) -> None:
    where = f"{outcome.kind}, {outcome.victim} killed {outcome.point}"
    print(f"{count:>9} {where}: {outcome.text}{': ' + outcome.wrong if outcome.wrong else ''}", flush=True)


if __name__ == "__main__":
    typer.run(main)
