"""Simulated registers: a correct one is never called wrong, one that served an old value always is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.simulated import register
from invariants.checkers.linearizable import Linearizable
from invariants.history import History


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
