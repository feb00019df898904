"""Several invariants of one target, one after the other, and what came of all of them together."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from chaos_locust.errors import ChaosError
from chaos_locust.judge.verdict import EXIT_DIRTY
from chaos_locust.redact import redact_text
from invariants.apart import Ended, Job, limit_s, prepare, run_apart
from invariants.bindings import Bound, bindings_of
from invariants.catalogue import machine_of
from invariants.catalogue import names as known
from invariants.machine import Machine
from invariants.options import parse_options

Word = Literal["UPHELD", "DEVIATED", "INCONCLUSIVE", "NOT BOUND"]

EXIT_CODES = {"UPHELD": 0, "DEVIATED": 3, "INCONCLUSIVE": 4}


@dataclass(frozen=True, slots=True)
class Case:
    """What came of one invariant. ended: None where the target does not bind it, so that it was not run."""

    invariant: str
    statement: str
    reason: str
    job: Job | None = None
    bound: Bound | None = None
    ended: Ended | None = None

    @property
    def word(self) -> Word:
        if self.ended is None:
            return "NOT BOUND"
        return "INCONCLUSIVE" if self.ended.result is None else self.ended.result.outcome

    @property
    def doubt(self) -> str:
        """Why nothing is said; empty where something is."""
        if self.ended is None or self.word != "INCONCLUSIVE":
            return ""
        if self.ended.dirty:
            return f"the target was left dirty: {self.ended.dirty}"
        return self.ended.reason if self.ended.result is None else self.ended.result.inconclusive


@dataclass(frozen=True, slots=True)
class Suite:
    """target: as it was asked for, without passwords. command: to do it again."""

    run_id: str
    target: str
    seed: int
    command: str
    started_epoch_s: float
    elapsed_s: float
    cases: tuple[Case, ...]

    @property
    def dirty(self) -> str:
        return next((each.ended.dirty for each in self.cases if each.ended and each.ended.dirty), "")

    @property
    def word(self) -> Word:
        words = [each.word for each in self.cases]
        ranks: tuple[Word, ...] = ("DEVIATED", "INCONCLUSIVE", "UPHELD")
        return next((word for word in ranks if word in words), "INCONCLUSIVE")

    @property
    def exit_code(self) -> int:
        """A target that was left dirty before all; what was not bound counts for nothing."""
        return EXIT_DIRTY if self.dirty else EXIT_CODES[self.word]


Watch = Callable[[str, int, int], None]
"""Called with (invariant, sequences done, of how many); at its beginning with 0 of 0."""


def draw_seed() -> int:
    return random.SystemRandom().randrange(2**31)


def cases_of(asked: Job, names: Sequence[str], every: bool, options: Sequence[str]) -> list[Case]:
    """What is to be run, and with `every` also what cannot be. asked: what holds for all of them. options:
    `name=value`, each for those that know it. Raises ChaosError for what is wrong before anything is done."""
    if bool(names) == every:
        raise ChaosError("run: give either names of invariants, as `list` has them, or --all")
    machines = {name: machine_of(name) for name in dict.fromkeys(names or known())}
    bindings = bindings_of(asked.target, list(names))
    for name in bindings:
        machine_of(name)  # a name that nothing answers to would never be run
    bound = [name for name in machines if name in bindings]
    unbound = [name for name in machines if name not in bindings]
    if not bound or (unbound and not every):
        there = ", ".join(bindings) or "nothing"
        what = ", ".join(unbound) if names else "any invariant that there is"
        raise ChaosError(f"{redact_text(asked.target)} does not bind {what}; it binds {there}")
    given = parse_options(options, [machines[name] for name in bound])
    cases = [
        _case_of(replace(asked, invariant=name, options=own), machines[name])
        for name, own in zip(bound, given, strict=True)
    ]
    cases += [Case(name, machines[name](None).statement, machines[name].reason) for name in unbound]
    return cases


def _case_of(job: Job, machine: type[Machine]) -> Case:
    bound = job.bound()
    prepare(job, bound)  # what is wrong is said before anything is started
    statement = machine(bound.target, **bound.options).statement
    return Case(job.invariant, statement, machine.reason, job, bound)


def run_all(cases: Sequence[Case], watch: Watch, told: Callable[[Case], None]) -> tuple[Case, ...]:
    """told: called with each case that was run. Nothing more is run on a target that was left dirty."""
    done: list[Case] = []
    stop = ""
    for case in cases:
        if case.job is not None and case.bound is not None:
            watch(case.invariant, 0, 0)
            ended = Ended(reason=f"not run: {stop}") if stop else _run(case.job, case.bound, watch)
            if ended.dirty:
                stop = "the target was left dirty"
            elif ended.interrupted:
                stop = "it was interrupted"
            case = _with(case, ended)
            told(case)
        done.append(case)
    return tuple(done)


def _run(job: Job, bound: Bound, watch: Watch) -> Ended:
    return run_apart(job, lambda done, of: watch(job.invariant, done, of), limit_s(bound))


def _with(case: Case, ended: Ended) -> Case:
    # The result's own statement: it was made by the machine that ran.
    statement = case.statement if ended.result is None else ended.result.statement
    return replace(case, statement=statement, ended=ended)
