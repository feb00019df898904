"""Invariants about many operations (how slow, how often wrong): all sequences are judged as one history."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from invariants.checkers.base import Checked, Checker, Violation
from invariants.history import History, Operation
from invariants.sequence import Step


def pool(histories: Sequence[History]) -> History:
    """One history of all: each keeps its processes apart by its place."""
    operations = [
        replace(operation, process=f"{place}/{operation.process}")
        for place, history in enumerate(histories)
        for operation in history
    ]
    return History(tuple(operations), tuple(band for history in histories for band in history.faults))


def systematic(checker: Checker, history: History) -> tuple[Violation, Step] | None:
    """The one input that alone breaks the invariant, while all others together do not; or None.

    So a request that always fails is told from one in fifty that fails by chance.
    """
    groups: dict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        groups[_input(operation)].append(operation)
    guilty = []
    for name, operations in groups.items():
        alone = checker.check(_alone(operations)).violations
        if alone:
            guilty.append((name, alone[0]))
    if len(guilty) != 1 or len(groups) == 1:
        return None
    name, violation = guilty[0]
    rest: Checked = checker.check(_alone([op for op in history if _input(op) != name]))
    if rest.violations:
        return None
    first = violation.operations[0]
    title = f"{violation.title}: always the same input, {first.kind}({_given(first)})"
    return replace(violation, title=title, anomaly="systematic"), _step(first)


def _alone(operations: Sequence[Operation]) -> History:
    """Each as a process of its own: the others between them are gone."""
    return History(tuple(replace(op, process=str(n), number=0) for n, op in enumerate(operations)))


def _input(operation: Operation) -> str:
    return json.dumps([operation.kind, operation.key, operation.value], sort_keys=True, default=str)


def _given(operation: Operation) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in _step(operation).arguments.items())


def _step(operation: Operation) -> Step:
    arguments = dict(operation.value) if isinstance(operation.value, dict) else {}
    if operation.value is not None and not isinstance(operation.value, dict):
        arguments["value"] = operation.value
    if operation.key is not None:
        arguments["key"] = operation.key
    return Step(0, operation.kind, arguments)
