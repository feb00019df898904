"""Runs one sequence against a target, and tells what was done as a history."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chaos_locust.errors import ChaosError
from invariants.checkers.base import Violation
from invariants.history import History, Operation
from invariants.machine import InvalidMachine, Machine, NoAnswer, Refused
from invariants.sequence import Step

Path = tuple[str, str, str]
"""(state before, rule, outcome)"""

ASSERT = "assert"
"""The anomaly of a violation that an assert of a rule showed."""

CLOSING = -1
"""The step's number of a closing rule."""


class Faults(Protocol):
    """Whoever can inject the faults that a sequence names."""

    @property
    def names(self) -> Sequence[str]: ...

    def inject(self, name: str) -> None:
        """Returns when it is confirmed. Raises ChaosError."""

    def heal(self, name: str) -> None:
        """Returns when it is gone for certain. Raises ChaosError."""


class Hung(ChaosError):
    """An operation had no end within the time that was left for it."""


@dataclass(frozen=True, slots=True)
class Execution:
    """paths: what was met, in no order. broken: asserts of rules that failed."""

    steps: tuple[Step, ...]
    history: History
    paths: frozenset[Path]
    broken: tuple[Violation, ...]


@dataclass
class _Lane:
    """One connection: one thing at a time. After an operation without an answer it is another process."""

    machine: Machine
    number: int
    client: Any = None
    lives: int = 0
    count: int = 0
    now: str = ""
    operations: list[Operation] = field(default_factory=list)
    broken: list[Violation] = field(default_factory=list)
    paths: set[Path] = field(default_factory=set)
    error: BaseException | None = None

    def run(self, steps: Sequence[Step]) -> None:
        try:
            for step in steps:
                self.now = str(step)
                self.do(step)
        except BaseException as error:  # told by whoever waits for this thread
            self.error = error

    def do(self, step: Step) -> None:
        if self.client is None:
            self.client = self.machine.connect()
        state, clock = self.machine.state(), self.machine.target.clock
        outcome, result, error, failed = "ok", None, "", ""
        start_s = clock()
        try:
            result = self.machine.rules()[step.rule].action(self.machine, self.client, **step.arguments)
        except Refused as refusal:
            outcome, error = "fail", str(refusal) or "refused"
        except NoAnswer as silence:
            outcome, error = "info", str(silence)
        except AssertionError as assertion:
            failed = str(assertion).partition("\n")[0] or "an assert of the rule failed"
        except ChaosError:
            raise
        except Exception as raised:
            raise InvalidMachine(
                f"rule {step.rule} of {self.machine.name} raised {type(raised).__name__}: {raised}; "
                "a rule raises Refused or NoAnswer, or fails an assert"
            ) from raised
        end_s = math.inf if outcome == "info" else clock()
        others = {name: given for name, given in step.arguments.items() if name != "key"}
        operation = Operation(
            process=f"{self.number}.{self.lives}" if self.lives else f"{self.number}",
            number=self.count,
            kind=step.rule,
            key=step.arguments.get("key"),
            value=others["value"] if list(others) == ["value"] else others or None,
            outcome=outcome,  # type: ignore[arg-type]
            result=result,
            start_s=start_s,
            end_s=end_s,
            error=error,
        )
        self.operations.append(operation)
        self.paths.add((state, step.rule, "broken" if failed else outcome))
        if failed:
            self.broken.append(Violation(self.machine.name, failed, (operation,), ASSERT))
        self.count += 1
        if outcome == "info":
            self.lives, self.count = self.lives + 1, 0
            self.close()

    def close(self) -> None:
        client, self.client = self.client, None
        if client is not None:
            self.machine.disconnect(client)


def execute(machine: Machine, steps: Sequence[Step], faults: Faults | None, limit_s: float) -> Execution:
    """Steps of different lanes run at the same time; a change of a fault waits for all that came before it.

    At the end every fault is healed, and the closing rules are done in lane 0. limit_s: for the operations
    between two changes of faults. Raises TargetDown, InvalidMachine, Hung, and ChaosError where a fault could
    not be injected or healed.
    """
    lanes = {number: _Lane(machine, number) for number in sorted({0, *(step.lane for step in steps)})}
    weather = _Weather(machine, faults)
    closing = [Step(CLOSING, each.name, {}) for each in machine.rules().values() if each.closing]
    machine.start()
    try:
        for group in _groups(steps):
            if group[0].fault:
                weather.change(group[0])
            else:
                _run_together(lanes, group, limit_s)
        weather.heal_all()
        _run_together(lanes, closing, limit_s)
    finally:
        weather.heal_all()
        for lane in lanes.values():
            lane.close()
        machine.end()
    operations = [operation for lane in lanes.values() for operation in lane.operations]
    return Execution(
        tuple(steps),
        History(tuple(operations), tuple(weather.bands)),
        frozenset(path for lane in lanes.values() for path in lane.paths),
        tuple(violation for lane in lanes.values() for violation in lane.broken),
    )


@dataclass
class _Weather:
    """Which faults act, and from when to when they did."""

    machine: Machine
    faults: Faults | None
    began_s: dict[str, float] = field(default_factory=dict)
    bands: list[tuple[str, float, float]] = field(default_factory=list)

    def change(self, step: Step) -> None:
        assert self.faults is not None
        if step.rule == "inject" and step.fault not in self.began_s:
            self.faults.inject(step.fault)
            self.began_s[step.fault] = self.machine.target.clock()
            self.machine.acting.add(step.fault)
        elif step.rule == "heal" and step.fault in self.began_s:
            self._heal(step.fault)

    def heal_all(self) -> None:
        for name in list(self.began_s):
            self._heal(name)

    def _heal(self, name: str) -> None:
        assert self.faults is not None
        began_s = self.began_s.pop(name)
        self.faults.heal(name)
        self.machine.acting.discard(name)
        self.bands.append((name, began_s, self.machine.target.clock()))


def _groups(steps: Sequence[Step]) -> list[list[Step]]:
    """Steps that may run together; a change of a fault is a group of its own."""
    groups: list[list[Step]] = []
    for step in steps:
        if step.fault or not groups or groups[-1][0].fault:
            groups.append([step])
        else:
            groups[-1].append(step)
    return groups


def _run_together(lanes: dict[int, _Lane], steps: Sequence[Step], limit_s: float) -> None:
    shares = {number: [step for step in steps if step.lane == number] for number in lanes}
    busy = [lanes[number] for number, share in shares.items() if share]
    # Threads that may be left behind: an operation that hangs must not hold the whole run.
    threads = [threading.Thread(target=lane.run, args=(shares[lane.number],), daemon=True) for lane in busy]
    for thread in threads:
        thread.start()
    for lane, thread in zip(busy, threads, strict=True):
        thread.join(limit_s)
        if thread.is_alive():
            raise Hung(f"{lane.now} of {lane.machine.name} had no end within {limit_s:g} s")
    for lane in busy:
        if lane.error is not None:
            raise lane.error
