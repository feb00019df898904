"""Looks for a sequence that breaks an invariant, and makes it short."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from invariants.broken import Broken, blamed, shortest
from invariants.draw import drawn
from invariants.execute import ASSERT, Faults, Hung, Path
from invariants.history import History
from invariants.machine import TargetDown
from invariants.pooled import pool
from invariants.runner import Build, Ran, Runner
from invariants.sequence import Step


@dataclass(frozen=True, slots=True)
class Settings:
    """concurrency: lanes. budget_s: for finding; making what was found short may take as long again."""

    iterations: int = 100
    steps: int = 10
    concurrency: int = 1
    seed: int = 0
    budget_s: float = 60.0


@dataclass
class Searched:
    """What was done and seen.

    iterations: sequences that were run; told: those of them that the checker could tell something from.
    doubts: why not, with how many. stopped: what kept the others from being run, other than the budget;
    spent: it was the budget.
    """

    iterations: int = 0
    told: int = 0
    paths: Counter[Path] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    doubts: Counter[str] = field(default_factory=Counter)
    stopped: str = ""
    spent: bool = False
    broken: Broken | None = None


def search(
    build: Build,
    faults: Faults | None,
    settings: Settings,
    scope: str,
    kept: Iterable[Sequence[Step]],
    clock: Callable[[], float],
    tell: Callable[[int, int], None],
) -> Searched:
    """kept: sequences that failed in former times, which are run first and count as iterations. tell: called
    with (done, of how many) after each. Raises InvalidMachine, and ChaosError where a fault fails.
    """
    runner, searched, example = Runner(build, faults, scope, settings.budget_s), Searched(), build(scope)
    in_budget = _until(clock, settings.budget_s)
    names = () if faults is None else faults.names
    fresh = drawn(example, settings.steps, settings.concurrency, names, settings.seed)
    ran: list[tuple[Sequence[Step], History]] = []
    for steps in itertools.islice(itertools.chain(kept, fresh), settings.iterations):
        if not in_budget():
            searched.spent = True
            break
        try:
            one = runner.run(steps)
        except (TargetDown, Hung) as error:
            searched.stopped = str(error)
            break
        _count(searched, one)
        tell(searched.iterations, settings.iterations)
        violations = one.checked.violations
        if example.pooled:
            ran.append((steps, one.history))
            violations = tuple(each for each in violations if each.anomaly == ASSERT)
        if violations:
            within = functools.partial(_within, clock, settings.budget_s)
            searched.broken = shortest(runner, steps, violations[0], one.history, within)
            return searched
    if ran:
        whole = pool([history for _, history in ran])
        checked = example.checker.check(whole)
        _count_pool(searched, Ran(whole, frozenset(), checked))
        if checked.violations:
            in_time, violation = _until(clock, settings.budget_s), checked.violations[0]
            searched.broken = blamed(runner, example.checker, ran, whole, violation, in_time)
    return searched


def _until(clock: Callable[[], float], limit_s: float) -> Callable[[], bool]:
    end_s = clock() + limit_s
    return lambda: clock() < end_s


def _within(clock: Callable[[], float], budget_s: float, share: float) -> Callable[[], bool]:
    return _until(clock, share * budget_s)


def _count(searched: Searched, one: Ran) -> None:
    searched.iterations += 1
    searched.told += not one.checked.inconclusive
    searched.paths.update(one.paths)
    searched.seen.update(one.checked.seen)
    if one.checked.inconclusive:
        searched.doubts[one.checked.inconclusive] += 1


def _count_pool(searched: Searched, whole: Ran) -> None:
    """What was said of each sequence alone does not count where all are judged at once."""
    doubt = whole.checked.inconclusive
    searched.told = 0 if doubt else searched.iterations
    searched.seen = Counter(whole.checked.seen)
    searched.doubts = Counter([doubt] if doubt else [])
