"""Linearizability of registers and counters, key by key.

Every operation must seem to take effect at one instant between its start and its end (Herlihy and Wing,
"Linearizability", TOPLAS 1990). The search is that of Wing and Gong as improved by Lowe ("Testing for
linearizability", 2017): the history is read event by event, and a set is kept of all (state, operations that
took effect already) that explain it so far. Where nothing explains an answer, it is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation

Model = Literal["register", "counter"]
BUDGET = 3_000_000

_Step = Callable[[Any], tuple[bool, Any]]
_REFUSED = (False, None)


@dataclass(frozen=True, slots=True)
class Linearizable:
    """register: `read`, `write`, and `cas` whose value is [old, new]. counter: `read`, and `add` of a value.

    initial: what a key holds before it is written. budget: so many steps of the search, for all keys
    together; when it is spent nothing is said.
    """

    model: Model = "register"
    initial: Any = None
    budget: int = BUDGET

    @property
    def name(self) -> str:
        return "linearizable"

    def check(self, history: History) -> Checked:
        left, violations, unsure = self.budget, list[Violation](), 0
        keys = {key: [op for op in ops if op.maybe] for key, ops in history.by_key().items()}
        for key in sorted(keys, key=lambda key: len(keys[key])):  # short ones first: they cost little
            search = _Search(self, keys[key], left)
            wrong = search.run()
            left = search.left
            if wrong is not None:
                violations.append(self._violation(key, keys[key], wrong))
            unsure += left <= 0
            if left <= 0:
                break
        doubt = f"the budget of {self.budget:,} steps is spent" if unsure else _too_little(history)
        return Checked(
            tuple(violations), doubt, {"operations": sum(map(len, keys.values())), "keys": len(keys)}
        )

    def _violation(self, key: str | None, operations: Sequence[Operation], wrong: Operation) -> Violation:
        """wrong: the operation whose answer nothing explains."""
        beside = [op for op in operations if op.start_s <= wrong.end_s and op.end_s >= wrong.start_s]
        changes = [op for op in operations if op.kind != "read" and op.end_s < wrong.start_s]
        shown = sorted([*changes[-3:], *beside], key=lambda op: (op.start_s, op.process))
        of = f" of {key}" if key is not None else ""
        title = f"no order of the operations{of} explains: {wrong}"
        return Violation(self.name, title, tuple(shown))


class _Search:
    """One key. Open operations have a bit each; a configuration is (state, bits that took effect)."""

    def __init__(self, checker: Linearizable, operations: Sequence[Operation], left: int) -> None:
        self.left = left
        self._initial = _frozen(checker.initial)
        make = _register_step if checker.model == "register" else _counter_step
        useful = _useful(operations) if checker.model == "register" else operations
        # An answered operation is over at its end; at one instant starts come first: they overlap.
        events = [(op.start_s, 0, op) for op in useful]
        events += [(op.end_s, 1, op) for op in useful if not math.isinf(op.end_s)]
        self._events = sorted(events, key=lambda event: event[:2])
        self._make = make

    def run(self) -> Operation | None:
        """The first operation whose answer nothing explains; None: all are explained, or `left` is 0."""
        configurations: set[tuple[Any, int]] = {(self._initial, 0)}
        steps: dict[int, _Step] = {}  # bit -> what the open operation does
        reads = 0  # bits of those that change nothing
        bits: dict[int, int] = {}  # id of the operation -> its bit
        for _, over, operation in self._events:
            if not over:
                bit = _free_bit(steps)
                bits[id(operation)], steps[bit] = bit, self._make(operation)
                reads |= bit if operation.kind == "read" else 0
                continue
            bit = bits.pop(id(operation))
            configurations = self._explain(configurations, bit, steps, reads)
            if self.left <= 0:
                return None
            if not configurations:
                return operation
            del steps[bit]
            reads &= ~bit
            configurations = {(state, done & ~bit) for state, done in configurations}
        return None

    def _explain(
        self, configurations: set[tuple[Any, int]], wanted: int, steps: dict[int, _Step], reads: int
    ) -> set[tuple[Any, int]]:
        """Every configuration that is reached from these and in which the operation `wanted` took effect."""
        reached: set[tuple[Any, int]] = set()
        seen = set(configurations)
        waiting = list(configurations)
        while waiting:
            configuration = waiting.pop()
            state, done = configuration
            self.left -= 1
            if self.left <= 0:
                return reached
            if done & wanted:
                reached.add(configuration)
                continue
            # A read that fits now may as well take effect now: it takes nothing from anybody.
            fitting = done
            for bit, step in steps.items():
                if bit & reads and not done & bit and step(state)[0]:
                    fitting |= bit
            if fitting != done:
                following = [(state, fitting)]
            else:
                following = [
                    (after, done | bit)
                    for bit, step in steps.items()
                    if not done & bit and not bit & reads
                    for allowed, after in (step(state),)
                    if allowed
                ]
            for each in following:
                if each not in seen:
                    seen.add(each)
                    waiting.append(each)
        return reached


def _too_little(history: History) -> str:
    kinds = {op.kind for op in history if op.happened}
    if not kinds & {"read", "cas"}:
        return "nothing was read"
    return "" if kinds & {"write", "cas", "add"} else "nothing was changed"


def _useful(operations: Sequence[Operation]) -> list[Operation]:
    """Without those that had no answer and cannot explain anything: reads, and writes that nobody saw."""
    seen = {_frozen(op.result) for op in operations if op.kind == "read" and op.happened}
    seen |= {_frozen(op.value[0]) for op in operations if op.kind == "cas"}
    return [
        op
        for op in operations
        if op.happened or (op.kind == "cas") or (op.kind == "write" and _frozen(op.value) in seen)
    ]


def _register_step(operation: Operation) -> _Step:
    if operation.kind == "write":
        value = _frozen(operation.value)
        return lambda state: (True, value)
    if operation.kind == "cas":
        old, new = map(_frozen, operation.value)
        return lambda state: (True, new) if state == old else _REFUSED
    if operation.kind == "read":
        result = _frozen(operation.result)
        return lambda state: (state == result, state)
    raise ValueError(f"a register has no '{operation.kind}'; allowed: read, write, cas")


def _counter_step(operation: Operation) -> _Step:
    if operation.kind == "add":
        return lambda state: (True, state + operation.value)
    if operation.kind == "read":
        if not operation.happened:
            return lambda state: _REFUSED
        return lambda state: (state == operation.result, state)
    raise ValueError(f"a counter has no '{operation.kind}'; allowed: read, add")


def _frozen(value: Any) -> Any:
    """The value as something that can be compared and put into a set."""
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, dict):
        return tuple(sorted((key, _frozen(item)) for key, item in value.items()))
    return value


def _free_bit(steps: dict[int, _Step]) -> int:
    bit = 1
    while bit in steps:
        bit <<= 1
    return bit
