"""A part of the proof: some hundred simulated runs. All of it: `python -m tests.simulation`."""

from __future__ import annotations

import pytest

from chaos_locust.judge.verdict import Outcome
from tests.simulation.__main__ import simulate
from tests.simulation.kinds import FAILED, HELD, KINDS

RUNS_OF_A_KIND = 6


@pytest.fixture(scope="module")
def table():  # type: ignore[no-untyped-def]
    return simulate(range(500_000, 500_000 + RUNS_OF_A_KIND * len(KINDS)))


def test_no_failure_passes_and_nothing_that_held_fails(table) -> None:  # type: ignore[no-untyped-def]
    wrong = {
        key: (row.wrong_pass, row.wrong_fail, row.wrong_exit)
        for key, row in table.items()
        if row.wrong_pass or row.wrong_fail or row.wrong_exit
    }
    assert wrong == {}


def test_what_can_be_known_is_mostly_decided(table) -> None:  # type: ignore[no-untyped-def]
    decided, knowable = 0, 0
    for (_, truth), row in table.items():
        if truth in (HELD, FAILED):
            knowable += row.outcomes.total()
            decided += row.outcomes[Outcome.UPHELD if truth == HELD else Outcome.DEVIATED]
    assert decided / knowable > 0.9
