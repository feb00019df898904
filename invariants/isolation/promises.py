"""What PostgreSQL promises of each isolation level.

From its documentation, chapter "Transaction Isolation": table 13.1 for dirty, nonrepeatable and phantom reads
and serialization anomalies; its text for the others. An updater waits for a row that another transaction has
changed, and a query of read committed sees only what was committed before it began; repeatable read sees only
what was committed before the transaction began, and does not change a row that was changed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["read uncommitted", "read committed", "repeatable read", "serializable"]

LEVELS: tuple[Level, ...] = ("read uncommitted", "read committed", "repeatable read", "serializable")

SOURCE = "PostgreSQL documentation, Transaction Isolation, table 13.1 and the text below it"

SAME_AS: Mapping[Level, Level] = {"read uncommitted": "read committed"}
"""Levels that PostgreSQL takes but treats as another one."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """prevented_from: the lowest level that promises that it cannot happen."""

    name: str
    short: str
    """Its name in Adya's thesis, where it has one there."""
    meaning: str
    prevented_from: Level

    def prevented_at(self, level: Level) -> bool:
        """Whether it is promised that it cannot happen."""
        of = SAME_AS.get(level, level)
        return LEVELS.index(of) >= LEVELS.index(self.prevented_from)


ANOMALIES: tuple[Anomaly, ...] = (
    Anomaly("dirty write", "G0", "two write over each other's uncommitted changes", "read committed"),
    Anomaly("aborted read", "G1a", "what was read was rolled back afterwards (dirty read)", "read committed"),
    Anomaly(
        "intermediate read", "G1b", "what was read its writer changed again (dirty read)", "read committed"
    ),
    Anomaly("non-repeatable read", "", "the same row, read twice, has changed", "repeatable read"),
    Anomaly("phantom read", "", "the same condition, asked twice, finds other rows", "repeatable read"),
    Anomaly("lost update", "P4", "two read, and the second write undoes the first", "repeatable read"),
    Anomaly("read skew", "G-single", "one row from before a change, one from after it", "repeatable read"),
    Anomaly("write skew", "G2-item", "each changes what the other one has relied on", "serializable"),
    Anomaly("predicate write skew", "G2", "each inserts what the other one found missing", "serializable"),
)

CYCLES: Mapping[str, Level] = {
    "G0": "read committed",
    "G1a": "read committed",
    "G1b": "read committed",
    "G1c": "read committed",
    "internal": "read committed",
    "incompatible order": "read committed",
    "duplicate": "read committed",
    "unwritten": "read committed",
    "lost update": "repeatable read",
    "G-single": "repeatable read",
    "G2": "serializable",
}
"""Anomalies of the checker of lists -> the lowest level that promises that they cannot happen."""


def cycle_prevented_at(anomaly: str, level: Level) -> bool:
    of = SAME_AS.get(level, level)
    return LEVELS.index(of) >= LEVELS.index(CYCLES[anomaly])
