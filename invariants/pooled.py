"""Invariants about many operations (how slow, how often wrong): all sequences are judged as one history."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from chaos_locust.measure.binomial import tail
from invariants.checkers.base import Checked, Checker, Violation
from invariants.history import History, Operation
from invariants.sequence import Step

SYSTEMATIC = "systematic"
"""The anomaly where inputs are to blame."""

BY_CHANCE = 0.001
SHOWN = 3


def pool(histories: Sequence[History]) -> History:
    """One history of all: each keeps its processes apart by its place."""
    operations = [
        replace(operation, process=f"{place}/{operation.process}")
        for place, history in enumerate(histories)
        for operation in history
    ]
    return History(tuple(operations), tuple(band for history in histories for band in history.faults))


def systematic(checker: Checker, history: History) -> tuple[Violation, Step] | None:
    """The inputs that alone break the invariant, while all others together do not, with a step of the worst;
    or None. The checker has to count what it has `seen` as `operations` and `bad`.

    So a request that always fails is told from one in fifty that fails by chance, of which one input has
    more than another: an input is only to blame when it is bad so often as chance would make it in one of
    a thousand histories.
    """
    groups: dict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        groups[_input(operation)].append(operation)
    share = _share(checker.check(history))
    guilty = list[tuple[float, str, Violation]]()
    for name, operations in groups.items():
        alone = checker.check(_alone(operations))
        count, bad = alone.seen.get("operations", 0), alone.seen.get("bad", 0)
        if alone.violations and tail(bad, count, share) * len(groups) < BY_CHANCE:
            guilty.append((_share(alone), name, alone.violations[0]))
    names = {name for _, name, _ in guilty}
    if not guilty or len(groups) == 1:
        return None
    if checker.check(_alone([op for op in history if _input(op) not in names])).violations:
        return None
    guilty.sort(key=lambda each: -each[0])
    steps = [_step(violation.operations[0]) for _, _, violation in guilty]
    inputs = ", ".join(map(str, steps[:SHOWN]))
    others = f" and {len(steps) - SHOWN} more" if len(steps) > SHOWN else ""
    which = "input" if len(steps) == 1 else "inputs"
    worst = guilty[0][2]
    title = f"{worst.title}: always the same {which}, {inputs}{others}"
    return replace(worst, title=title, anomaly=SYSTEMATIC), steps[0]


def _share(checked: Checked) -> float:
    return checked.seen.get("bad", 0) / max(1, checked.seen.get("operations", 0))


def _alone(operations: Sequence[Operation]) -> History:
    """Each as a process of its own: the others between them are gone."""
    return History(tuple(replace(op, process=str(n), number=0) for n, op in enumerate(operations)))


def _input(operation: Operation) -> str:
    return json.dumps([operation.kind, operation.key, operation.value], sort_keys=True, default=str)


def _step(operation: Operation) -> Step:
    arguments = dict(operation.value) if isinstance(operation.value, dict) else {}
    if operation.value is not None and not isinstance(operation.value, dict):
        arguments["value"] = operation.value
    if operation.key is not None:
        arguments["key"] = operation.key
    return Step(0, operation.kind, arguments)
