"""Whoever is killed while a fault acts in a cluster, the cluster is as it was."""

from __future__ import annotations

import random

import pytest

from tests.crash.kinds import CELLS
from tests.crash.play import VICTIMS, Victim, play

KINDS = ["pod_cpu", "pod_scale", "pod_partition", "config_change", "pod_memory_pressure"]


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_it_acts(kind: str, victim: Victim) -> None:
    with CELLS[kind]() as case:
        played = play(kind, case, victim, "in the fault", random.Random(f"{kind} {victim}"))
        assert played.wrong == []
