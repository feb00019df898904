"""One cell of the crash matrix for each kind of fault; `python -m tests.crash.matrix` plays all of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from chaos_locust.faults.registry import KINDS
from tests.crash.kinds import CELLS
from tests.crash.matrix import Outcome, cells_of, one

SEED = "CI"
AT_A_TIME = 2


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Outcome]]:
    """The outcome of a kind's cell; those of all kinds that were selected are played meanwhile."""
    wanted = [item.callspec.params["kind"] for item in request.session.items if _is_cell(item)]
    with ProcessPoolExecutor(AT_A_TIME, get_context("spawn")) as pool:
        outcomes = {kind: pool.submit(one, *_drawn(kind), SEED) for kind in wanted}
        yield lambda kind: outcomes[kind].result()
        pool.shutdown(cancel_futures=True)


def _is_cell(item: pytest.Item) -> bool:
    """Of a kind that is not left out."""
    ours = getattr(item, "originalname", "") == test_nothing_is_left.__name__
    return ours and item.get_closest_marker("skip") is None


def _drawn(kind: str):  # type: ignore[no-untyped-def]
    return random.Random(f"{SEED} {kind}").choice(cells_of(kind))


@pytest.mark.parametrize("kind", CELLS)
def test_nothing_is_left(kind: str, played: Callable[[str], Outcome]) -> None:
    outcome = played(kind)
    if outcome.text == "not here":
        pytest.skip(f"not on this machine: {outcome.wrong}")
    assert not outcome.wrong, f"{outcome.victim} killed {outcome.point}: {outcome.wrong}"


def test_every_kind_has_a_cell() -> None:
    assert sorted(CELLS) == sorted(KINDS)
