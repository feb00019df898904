"""Maps shared by workers: each key is a register, and an iteration reads each key at some time of its own.

That is what weakly consistent iterators promise (those of Java's ConcurrentHashMap): no snapshot, but for
each key what was there at one moment of the iteration.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from invariants.checkers.base import Checked, Violation
from invariants.checkers.linearizable import BUDGET, Linearizable
from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class SharedMap:
    """`put` of a value, `delete` and `get` of a key; `iterate`, and `contents` at the end, with {key: value}
    as result. Null: not there.

    budget: steps of the search for an order that explains the answers; when it is spent nothing is said.
    """

    budget: int = BUDGET

    @property
    def name(self) -> str:
        return "shared-map"

    def check(self, history: History) -> Checked:
        keys = sorted({op.key for op in history.of("put", "delete", "get") if op.key is not None})
        keys += sorted(
            {key for op in history.of("iterate", "contents") if op.happened for key in op.result} - set(keys)
        )
        single = [each for op in history for each in _as_registers(op, keys)]
        checked = Linearizable(budget=self.budget).check(History(tuple(single)))
        really = {_process(op): op for op in history}
        violations = []
        for found in checked.violations:
            shown = dict.fromkeys(each.process.partition("/")[0] for each in found.operations)
            operations = tuple(really[process] for process in shown)
            violations.append(Violation(self.name, found.title, operations, "unsound"))
        changes = sum(op.happened for op in history.of("put", "delete"))
        reads = sum(op.happened for op in history.of("get", "iterate", "contents"))
        doubt = checked.inconclusive
        if not changes or not reads:
            doubt = "nothing was read" if changes else "nothing was put"
        return Checked(tuple(violations), doubt, {"changes": changes, "reads": reads})


def _as_registers(operation: Operation, keys: list[str]) -> Iterator[Operation]:
    """Each as a process of its own, which is all that the search for an order needs."""
    alone = replace(operation, process=_process(operation), number=0)
    match operation.kind:
        case "put":
            yield replace(alone, kind="write")
        case "delete":
            yield replace(alone, kind="write", value=None, result=None)
        case "get":
            yield replace(alone, kind="read")
        case "iterate" | "contents" if operation.happened:
            for place, key in enumerate(keys):
                found = operation.result.get(key)
                yield replace(alone, process=f"{alone.process}/{place}", kind="read", key=key, result=found)


def _process(operation: Operation) -> str:
    return f"{operation.process}#{operation.number}"
