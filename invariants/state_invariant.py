"""The words that users write: `StateInvariant.<name>(target).with_iterations(100).verify()`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from chaos_locust.errors import ChaosError
from chaos_locust.units import parse_duration
from invariants.catalogue import machine_of
from invariants.execute import Faults
from invariants.faults import PlanFaults, injected
from invariants.kept import Kept
from invariants.machine import Machine, TargetDown
from invariants.result import Found, Replay, Result
from invariants.runner import Runner
from invariants.search import Searched, Settings, search
from invariants.sequence import Step
from invariants.written import written


class InvalidSetting(ChaosError):
    """A setting that is not allowed; the message names it, its value and what is allowed."""


class StateInvariant:
    """One invariant of one target, and how hard it is looked for what breaks it.

    Made by `StateInvariant.<name>(target, **options)` for each name of `chaos-locust invariants list`, and by
    `StateInvariant.custom(machine, target, **options)` for a machine of one's own.
    """

    def __init__(self, machine: type[Machine], target: Any, options: Mapping[str, Any]) -> None:
        allowed = [each.name for each in fields(machine) if each.init][3:]
        for name in options:
            if name not in allowed:
                given = ", ".join(allowed) or "none"
                raise InvalidSetting(f"{machine.name} has no option '{name}'; allowed: {given}")
        machine.rules()
        self._machine, self._target, self._options = machine, target, dict(options)
        self._settings = Settings(seed=random.SystemRandom().randrange(2**31))
        self._faults: Faults | None = None
        self._kept: Kept | None = Kept(Path(".chaos-locust") / "invariants")

    @classmethod
    def custom(cls, machine: type[Machine], target: Any, **options: Any) -> Self:
        """Raises InvalidMachine, InvalidSetting."""
        return cls(machine, target, options)

    @classmethod
    def named(cls, name: str, target: Any, **options: Any) -> Self:
        """Raises UnknownInvariant, InvalidSetting."""
        return cls(machine_of(name), target, options)

    @classmethod
    def circuit_breaker_never_stuck_open(cls, target: Any, **options: Any) -> Self:
        return cls.named("circuit_breaker_never_stuck_open", target, **options)

    @classmethod
    def queue_never_loses_messages(cls, target: Any, **options: Any) -> Self:
        return cls.named("queue_never_loses_messages", target, **options)

    @classmethod
    def transactions_are_atomic(cls, target: Any, **options: Any) -> Self:
        return cls.named("transactions_are_atomic", target, **options)

    @classmethod
    def cache_stays_consistent(cls, target: Any, **options: Any) -> Self:
        return cls.named("cache_stays_consistent", target, **options)

    @classmethod
    def latency_bounded(cls, target: Any, **options: Any) -> Self:
        return cls.named("latency_bounded", target, **options)

    @classmethod
    def error_rate_limited(cls, target: Any, **options: Any) -> Self:
        return cls.named("error_rate_limited", target, **options)

    def with_iterations(self, iterations: int) -> Self:
        """So many sequences are run."""
        return self._with(iterations=_at_least_one("iterations", iterations))

    def with_steps(self, steps: int) -> Self:
        """Each sequence has so many steps."""
        return self._with(steps=_at_least_one("steps", steps))

    def with_concurrency(self, connections: int) -> Self:
        """Steps are spread over so many connections, which work at the same time."""
        return self._with(concurrency=_at_least_one("concurrency", connections))

    def with_seed(self, seed: int) -> Self:
        """The same seed gives the same sequences."""
        return self._with(seed=seed)

    def with_budget(self, budget: str) -> Self:
        """A duration, such as `60s`: for finding. Making what was found short may take as long again."""
        try:
            return self._with(budget_s=parse_duration(budget))
        except ValueError as error:
            raise InvalidSetting(f"budget: {error}") from None

    def with_faults(self, plan: Any) -> Self:
        """plan: a Plan, its file, or its mapping, whose faults become steps; or a `Faults` of one's own."""
        self._faults = injected(plan)
        return self

    def with_kept_in(self, folder: Path | None) -> Self:
        """Where sequences that failed are kept, to be run first the next time; None: nowhere."""
        self._kept = None if folder is None else Kept(folder)
        return self

    def verify(self, tell: Callable[[int, int], None] = lambda done, of: None) -> Result:
        """Raises InvalidMachine, and ChaosError where a fault could not be injected or healed."""
        began_s = time.monotonic()
        scope = f"cl{uuid4().hex[:8]}"
        try:
            self._target.check()
        except TargetDown as error:
            return self._result(Searched(stopped=str(error)), (), began_s)
        faults = () if self._faults is None else self._faults.names
        kept = [] if self._kept is None else self._kept.read(self._machine, faults)
        searched = search(self._build, self._faults, self._settings, scope, kept, time.monotonic, tell)
        found = self._found(searched)
        if found and self._kept is not None:
            self._kept.add(self._machine, [each.steps for each in found])
        return self._result(searched, found, began_s)

    def replay(self, steps: Sequence[Step], tries: int = 10, repeat: int = 1) -> Replay:
        """Runs those steps so many times, each time `repeat` times as one. Raises TargetDown, ChaosError."""
        self._target.check()
        runner = Runner(self._build, self._faults, f"cl{uuid4().hex[:8]}", self._settings.budget_s)
        return Replay(sum(bool(runner.run(steps, repeat).checked.violations) for _ in range(tries)), tries)

    def _with(self, **changes: Any) -> Self:
        self._settings = replace(self._settings, **changes)
        return self

    def _build(self, scope: str) -> Machine:
        return self._machine(self._target, scope, **self._options)

    def _found(self, searched: Searched) -> tuple[Found, ...]:
        broken = searched.broken
        if broken is None:
            return ()
        return (
            Found(
                broken.violation,
                broken.steps,
                broken.history,
                Replay(broken.failures, broken.tries),
                broken.shortened,
                broken.repeat,
                again=lambda tries: self.replay(broken.steps, tries, broken.repeat),
                written=lambda: written(self._machine, self._target, self._options, self._faults, broken),
            ),
        )

    def _result(self, searched: Searched, found: tuple[Found, ...], began_s: float) -> Result:
        fired = {rule for _, rule, _ in searched.paths}
        return Result(
            invariant=self._machine.name,
            statement=self._build("").statement,
            violations=found,
            inconclusive=_doubt(self._machine, searched) or _never_acted(self._faults),
            code_paths_exercised=dict(searched.paths),
            never_fired=tuple(name for name in self._machine.rules() if name not in fired),
            iterations=searched.iterations,
            told=searched.told,
            seed=self._settings.seed,
            elapsed_s=time.monotonic() - began_s,
            seen=dict(searched.seen),
        )


def _doubt(machine: type[Machine], searched: Searched) -> str:
    """Why nothing is said although nothing was found."""
    if not searched.told:
        most = [doubt for doubt, _ in searched.doubts.most_common(1)]
        return searched.stopped or "; ".join(most) or "the budget was spent before the first sequence"
    missed = set(machine.must_reach) - {state for state, _, _ in searched.paths}
    if missed:
        return f"never reached: {', '.join(sorted(missed))}"
    return searched.stopped


def _never_acted(faults: Faults | None) -> str:
    return faults.never_acted() if isinstance(faults, PlanFaults) else ""


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise InvalidSetting(f"{name} {value} is not allowed; give 1 or more")
    return value
