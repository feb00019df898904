"""The test file of what was found: it fails with the defect and passes without it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from invariants import StateInvariant, Step, TargetDown, fresh, rule
from invariants.written import NotWritable

from .toys import Bag, BagKeeps, Client, Switches, invariant, loses

MODULE = '''
from dataclasses import dataclass, field

from invariants import Machine, Target, fresh, rule
from invariants.checkers.elements import SetFull

ROOM = {room}


@dataclass
class Shelf(Target):
    label: str = "it's mine"

    def connect(self, scope):
        return Room()


class Room:
    def __init__(self):
        self.there = []

    def add(self, element):
        self.there = [*self.there, element][-ROOM:]


@dataclass
class ShelfKeeps(Machine):
    """What was put on the shelf stays, within some seconds."""

    name = "shelf_keeps"
    stale_s: float = 0.0

    @property
    def checker(self):
        return SetFull(self.stale_s)

    @rule(value=fresh({make}))
    def add(self, client, value):
        client.add(value)

    @rule(weight=1, closing=True)
    def read(self, client):
        {look}
        return client.there
'''

NUMBERS = "lambda number: number"
TEXTS = r"""lambda number: f'{number} "quoted" \\ \u00e9'"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("shelves", None)


def shelves(folder: Path, room: int, make: str = NUMBERS, look: str = "pass") -> None:
    text = MODULE.format(room=room, make=make, look=look)
    (folder / "shelves.py").write_text(text, encoding="utf-8")


def found(folder: Path, **options: Any) -> str:
    from shelves import Shelf, ShelfKeeps  # type: ignore[import-not-found]

    made = StateInvariant.custom(ShelfKeeps, Shelf(), **options).with_kept_in(None).with_seed(0)
    (violation,) = made.verify().violations
    (folder / "test_shelves.py").write_text(violation.to_pytest(), encoding="utf-8")
    return violation.to_pytest()


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shelves.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("make", [NUMBERS, TEXTS])
def test_it_fails_with_the_defect_and_passes_without_it(folder: Path, make: str) -> None:
    shelves(folder, room=2, make=make)
    text = found(folder, stale_s=0.0)
    assert "StateInvariant.custom(ShelfKeeps, TARGET, stale_s=0.0)" in text
    failed = run(folder)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "reproduced 1 of 1" in failed.stdout
    shelves(folder, room=100, make=make)
    passed = run(folder)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "1 passed" in passed.stdout


def test_whatever_an_assert_says_it_is_a_test_file(folder: Path) -> None:
    look = r"""assert len(client.there) < 2, 'a "quote" at the end, C:\\u and \"\"\"'"""
    shelves(folder, room=100, look=look)
    found(folder)
    failed = run(folder)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "reproduced 1 of 1" in failed.stdout


def test_what_fails_seldom_is_tried_often_enough() -> None:
    text = invariant(Bag(loses(random.Random(0), 0.3))).verify().violations[0].to_pytest()
    (tries,) = [part.partition(",")[0] for part in text.split("tries=")[1:]]
    assert int(tries) > 5


def test_what_a_test_cannot_import_is_said() -> None:
    @dataclass
    class Local(BagKeeps):
        @rule(value=fresh())
        def add(self, client: Client, value: int) -> None:
            client.add(value)

    (violation,) = invariant(Bag(loses(random.Random(0), 1.0)), Local).verify().violations
    with pytest.raises(NotWritable, match="Local has to stand in a module that a test can import"):
        violation.to_pytest()


def test_faults_of_ones_own_cannot_be_written() -> None:
    faults = Switches("a")

    def lose(kind: str, there: list[int]) -> None:
        if kind == "read" and "a" in faults.acting:
            there.clear()

    checked = invariant(Bag(lose)).with_faults(faults)
    (violation,) = checked.verify().violations
    with pytest.raises(NotWritable, match="the faults a have to come from a plan"):
        violation.to_pytest()


def test_a_target_that_is_down_shows_nothing() -> None:
    """Else all would be refused, and the test file would pass."""
    with pytest.raises(TargetDown, match="the bag is not there"):
        invariant(Bag(down=True)).replay([Step(0, "add", {"value": 0})])
