"""What a checker says of a history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that a correct target cannot have done.

    operations: those that prove it, in order of their start. anomaly: its name in the literature, if it has
    one.
    """

    checker: str
    title: str
    operations: tuple[Operation, ...]
    anomaly: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """inconclusive: why nothing can be said although nothing was found; empty when it can.

    seen: how much of what was looked at, such as {"reads": 40}.
    """

    violations: tuple[Violation, ...] = ()
    inconclusive: str = ""
    seen: Mapping[str, int] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.violations and not self.inconclusive


class Checker(Protocol):
    """Pure: the same history gives the same answer."""

    @property
    def name(self) -> str: ...

    def check(self, history: History) -> Checked: ...


def checked_by(checker: Checker, history: History) -> Checked:
    """What it says. Raises TypeError where that is nothing a checker says, and what the checker raises."""
    checked: object = checker.check(history)
    if not isinstance(checked, Checked):
        raise TypeError(f"its check gave a {type(checked).__name__}, not a Checked")
    if wrong := [each for each in checked.violations if not isinstance(each, Violation)]:
        raise TypeError(f"one of its violations is a {type(wrong[0]).__name__}, not a Violation")
    return checked
