"""From a sequence that failed to the shortest one that does, and how often."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaos_locust.errors import ChaosError, DirtyTarget
from invariants.checkers.base import Checker, Violation
from invariants.checkers.rates import ENOUGH
from invariants.history import History
from invariants.pooled import systematic
from invariants.runner import Runner
from invariants.sequence import Step
from invariants.shrink import how_often, shrink, tries_needed

InTime = Callable[[], bool]

MEASURING = 0.2
"""So large a share of the time is for measuring how often the steps fail, before and after each."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The shortest sequence found, a history of it that fails, and how often it does.

    repeat: it is run so many times and judged as one. shortened: there was time to be sure that no step can
    be taken away.
    """

    violation: Violation
    steps: tuple[Step, ...]
    history: History
    failures: int
    tries: int
    shortened: bool
    repeat: int = 1


class _Again:
    """Runs candidates, and keeps the last one that failed in the same way."""

    def __init__(self, runner: Runner, violation: Violation, history: History, repeat: int) -> None:
        self._runner, self._repeat = runner, repeat
        self.violation, self.history = violation, history

    def fails(self, steps: Sequence[Step]) -> bool:
        try:
            ran = self._runner.run(steps, self._repeat)
        except DirtyTarget:
            raise  # whatever came after it would be tried on a target that is left changed
        except ChaosError:
            return False  # a candidate that cannot be run shows nothing
        for found in ran.checked.violations:
            if (found.checker, found.anomaly) == (self.violation.checker, self.violation.anomaly):
                self.violation, self.history = found, ran.history
                return True
        return False


def shortest(
    runner: Runner,
    steps: Sequence[Step],
    violation: Violation,
    history: History,
    within: Callable[[float], InTime],
) -> Broken:
    """For an invariant that one sequence breaks. within: gives a share of the time from now on."""
    again = _Again(runner, violation, history, 1)
    # Where a run takes seconds, to measure well would leave no time to shorten.
    tries = tries_needed(*how_often(again.fails, steps, within(MEASURING)))
    short, sure = shrink(steps, again.fails, tries, within(1 - 2 * MEASURING))
    failures, tried = how_often(again.fails, short, within(MEASURING))
    return Broken(again.violation, short, again.history, failures, tried, sure)


def blamed(
    runner: Runner,
    checker: Checker,
    ran: Sequence[tuple[Sequence[Step], History]],
    whole: History,
    violation: Violation,
    in_time: InTime,
) -> Broken:
    """For an invariant about many operations: the one input that is to blame, or else the first sequence with
    a bad operation in it, run so often that it tells."""
    found = systematic(checker, whole)
    steps: tuple[Step, ...]
    if found:
        steps = (found[1],)
    else:
        bad = {_where(operation.process) for operation in violation.operations}
        steps = tuple(next(steps for place, (steps, _) in enumerate(ran) if place in bad))
    repeat = math.ceil(ENOUGH / len(steps))
    again = _Again(runner, violation, whole, repeat)
    failures, tries = how_often(again.fails, steps, in_time)
    shown = found[0] if found else violation
    return Broken(shown, steps, again.history, failures, tries, True, repeat)


def _where(process: str) -> int:
    return int(process.split("/")[0])
