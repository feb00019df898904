"""Runs sequences of one machine and judges them, each in a scope of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaos_locust.errors import ChaosError
from invariants.checkers.base import Checked
from invariants.execute import Faults, Path, execute
from invariants.history import History
from invariants.machine import InvalidMachine, Machine
from invariants.pooled import pool
from invariants.sequence import Step

Build = Callable[[str], Machine]
"""A machine for one sequence, by its scope."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What was done, what was met, and what the checker says of it."""

    history: History
    paths: frozenset[Path]
    checked: Checked


class Runner:
    """scope: names all that is made. limit_s: for the operations between two changes of faults."""

    def __init__(self, build: Build, faults: Faults | None, scope: str, limit_s: float) -> None:
        self._build, self._faults, self._scope, self._limit_s = build, faults, scope, limit_s
        self._count = itertools.count()

    def run(self, steps: Sequence[Step], repeat: int = 1) -> Ran:
        """The steps `repeat` times, judged as one. Raises TargetDown, InvalidMachine, Hung, ChaosError."""
        machines = [self._build(f"{self._scope}-{next(self._count)}") for _ in range(repeat)]
        done = [execute(machine, steps, self._faults, self._limit_s) for machine in machines]
        history = done[0].history if repeat == 1 else pool([each.history for each in done])
        broken = tuple(violation for each in done for violation in each.broken)
        # After an assert the history lacks what that rule would have told.
        checked = Checked(broken) if broken else _checked(machines[0], history)
        return Ran(history, frozenset(path for each in done for path in each.paths), checked)


def _checked(machine: Machine, history: History) -> Checked:
    checker = machine.checker
    try:
        return checker.check(history)
    except ChaosError:
        raise
    except Exception as error:
        raise InvalidMachine(
            f"the checker {checker.name} cannot read what {machine.name} has done: "
            f"{type(error).__name__}: {error}"
        ) from error
