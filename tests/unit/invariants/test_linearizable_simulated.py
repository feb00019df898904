"""Simulated registers: a correct one is never called wrong, one that served an old value always is."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from operator import attrgetter

import pytest

from invariants.checkers.linearizable import Linearizable
from invariants.history import History, Operation


def register(operations: int, processes: int, seed: int, unanswered: float) -> list[Operation]:
    """What clients of a correct register see: each operation takes effect at an instant within its time."""
    rng = random.Random(seed)
    free_s = [0.0] * processes
    names = [f"p{each}" for each in range(processes)]
    numbers = [0] * processes
    planned = []
    for count in range(operations):
        who = min(range(processes), key=free_s.__getitem__)
        start_s = free_s[who] + rng.random() * 0.2
        lasts_s = rng.random()
        info = rng.random() < unanswered
        planned.append(
            (start_s + lasts_s * rng.random(), start_s, start_s + lasts_s, names[who], numbers[who], info)
        )
        free_s[who], numbers[who] = start_s + lasts_s, numbers[who] + 1
        if info:
            names[who], numbers[who] = f"p{who}-{count}", 0
    state, made = None, []
    for _, start_s, end_s, name, number, info in sorted(planned):
        end_s = math.inf if info else end_s
        if rng.random() < 0.5:
            value = rng.randrange(10**6)
            if not info or rng.random() < 0.5:
                state = value
            made.append(
                Operation(name, number, "write", "k", value, "info" if info else "ok", None, start_s, end_s)
            )
        else:
            result = None if info else state
            made.append(
                Operation(name, number, "read", "k", None, "info" if info else "ok", result, start_s, end_s)
            )
    return sorted(made, key=attrgetter("start_s"))


@pytest.mark.parametrize("seed", range(0, 200, 20))
def test_a_correct_register_is_never_called_wrong(seed: int) -> None:
    for each in range(seed, seed + 20):
        assert Linearizable().check(History(tuple(register(150, 5, each, 0.05)))).passed


@pytest.mark.parametrize("seed", range(20))
def test_an_old_value_is_always_found(seed: int) -> None:
    operations = register(200, 5, seed, 0.0)
    reads = [place for place, op in enumerate(operations) if op.kind == "read" and op.start_s > 15]
    place = reads[len(reads) // 2]
    old = [op for op in operations if op.kind == "write" and op.end_s < operations[place].start_s - 5]
    operations[place] = replace(operations[place], result=old[-1].value)
    (found,) = Linearizable().check(History(tuple(operations))).violations
    assert operations[place] in found.operations
