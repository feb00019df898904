"""The table of a server: for each level and anomaly what is promised and what was seen."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from invariants.isolation.anomalies import INTERLEAVINGS
from invariants.isolation.load import WORKS, Loaded
from invariants.isolation.promises import ANOMALIES, LEVELS, SAME_AS, SOURCE, Anomaly, Level
from invariants.isolation.sessions import Isolated, Sessions, Unsettled, sessions
from invariants.result import Outcome
from invariants.targets.sql_client import driver_of
from invariants.targets.sql_client import said as error_of

TIMES = 3
"""So often each interleaving is carried out."""


@dataclass(frozen=True, slots=True)
class Cell:
    """seen: in how many of `times` runs. log: of the last run, a line for each statement."""

    level: Level
    anomaly: Anomaly
    times: int
    seen: int
    log: tuple[str, ...]

    @property
    def promised(self) -> bool:
        """That it cannot happen."""
        return self.anomaly.prevented_at(self.level)

    @property
    def broken(self) -> bool:
        return self.promised and self.seen > 0

    @property
    def word(self) -> str:
        if self.promised:
            return f"SEEN {self.seen} of {self.times}" if self.seen else "prevented"
        return f"allowed, seen {self.seen} of {self.times}" if self.seen else "allowed, not seen"

    def to_json(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "anomaly": self.anomaly.name,
            "promised_to_be_prevented": self.promised,
            "times": self.times,
            "seen": self.seen,
            "broken": self.broken,
            "log": list(self.log),
        }


@dataclass(frozen=True)
class IsolationTable:
    """said: the level that was asked for -> what the server says that it is."""

    server: str
    said: dict[Level, str]
    cells: tuple[Cell, ...]
    loads: tuple[Loaded, ...]

    @property
    def outcome(self) -> Outcome:
        if any(cell.broken for cell in self.cells) or any(load.impossible for load in self.loads):
            return "DEVIATED"
        return "INCONCLUSIVE" if any(load.inconclusive for load in self.loads) else "UPHELD"

    @property
    def sentences(self) -> list[str]:
        """What deviates, and what else has to be known."""
        found = [
            f"{cell.level}: {cell.anomaly.name} was seen in {cell.seen} of {cell.times} runs, which is "
            "promised to be impossible"
            for cell in self.cells
            if cell.broken
        ]
        for load in self.loads:
            if load.impossible:
                names = ", ".join(load.impossible)
                found.append(f"{load.level}: {names} under {load.work}, which is promised to be impossible")
            if load.inconclusive:
                found.append(f"{load.level}: nothing can be said of {load.work}: {load.inconclusive}")
        found += [
            f"{asked} was asked for, and the server says {said}"
            for asked, said in self.said.items()
            if asked != said
        ]
        found += [f"{level} is treated as {other}, as documented" for level, other in SAME_AS.items()]
        return found

    def cell(self, level: Level, anomaly: str) -> Cell:
        """Raises StopIteration."""
        return next(cell for cell in self.cells if (cell.level, cell.anomaly.name) == (level, anomaly))

    def to_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "server": self.server,
            "source": SOURCE,
            "sentences": self.sentences,
            "said": dict(self.said),
            "cells": [cell.to_json() for cell in self.cells],
            "loads": [
                {
                    "work": load.work,
                    "level": load.level,
                    "committed": load.tries.committed,
                    "conflicts": load.tries.conflicts,
                    "retried": load.tries.retried,
                    "succeeded_after_retry": load.tries.succeeded,
                    "seen": dict(load.seen),
                    "promised_to_be_impossible": list(load.impossible),
                    "evidence": list(load.evidence),
                    "inconclusive": load.inconclusive,
                }
                for load in self.loads
            ],
        }


def measure(
    target: Isolated,
    rng: random.Random,
    levels: Sequence[Level] = LEVELS,
    tell: Callable[[str], None] = lambda what: None,
) -> IsolationTable:
    """Raises TargetDown, Unsettled; DirtyTarget when its schema could not be taken away again."""
    target.check()
    try:
        return _measured(target, rng, levels, tell)
    except driver_of().Error as error:
        raise Unsettled(f"a session was lost: {error_of(error)}") from None
    finally:
        target.forget(target.scope)


def _measured(
    target: Isolated, rng: random.Random, levels: Sequence[Level], tell: Callable[[str], None]
) -> IsolationTable:
    said: dict[Level, str] = {}
    cells, loads = [], []
    server = _server(target)
    for level in levels:
        with sessions(target, ("A", "B", "C")) as table:
            said[level] = table.said(level)
            for anomaly in ANOMALIES:
                tell(f"{level}: {anomaly.name}")
                cells.append(_cell(table, level, anomaly))
        for name, work in WORKS.items():
            tell(f"{level}: {name}")
            loads.append(work(target, level, random.Random(rng.random())))
    return IsolationTable(server, said, tuple(cells), tuple(loads))


def _cell(table: Sessions, level: Level, anomaly: Anomaly) -> Cell:
    seen = 0
    for _ in range(TIMES):
        a, b, c = table.afresh()
        seen += INTERLEAVINGS[anomaly.name](a, b, c, level)
    return Cell(level, anomaly, TIMES, seen, tuple(table.log))


def _server(target: Isolated) -> str:
    with target.open(target.scope) as connection:
        row = connection.execute(b"SELECT current_setting('server_version')").fetchone()
    return f"PostgreSQL {row[0]}" if row else "PostgreSQL"
