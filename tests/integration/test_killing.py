"""Runs are killed with SIGKILL at some instants; `python -m bench.killing` does it at many."""

from __future__ import annotations

import random

import pytest

from bench.killing import When, Who, play

ACTING = 3


@pytest.mark.parametrize(
    ("who", "when"),
    [("locust", "onset"), ("locust", "during"), ("guardian", "during"), ("both", "during")],
)
def test_nothing_is_left_behind(who: Who, when: When) -> None:
    found = play(who, when, random.Random(who + when))
    assert not found.wrong, found
    if when == "during":
        assert len(found.dirty) == ACTING, f"the faults did not act: {found}"


def test_cleanup_leaves_a_live_run_alone() -> None:
    """`cleanup` comes while all faults act; that they have acted to their end is in the exit code 0."""
    found = play("nobody", "during", random.Random(1))
    assert not found.wrong, found
    assert len(found.dirty) == ACTING, f"the faults did not act: {found}"
