"""Does each invariant find what is planted, and nothing else? `python -m bench.invariants`

For each: so many seeds on a correct target (each is upheld), so many on each twin with a planted defect (each
is found, and made short), and the time that 100 sequences of 10 steps take.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Annotated

import typer
from rich.console import Console

from invariants.catalogue import BUILT_IN, machine_of
from invariants.result import Result
from invariants.samples.base import Twin
from invariants.state_invariant import StateInvariant
from invariants.targets.base import Target

SPARE_STEPS = 2
"""So many steps more than the shortest known are short enough."""

SHORT_SHARE = 0.9
"""In so many of the searches."""

SAMPLES = {"initialised_once": "initialised"}
"""Where they are not in a file of the machine's name."""

FAST_S = 2.0
"""For 100 sequences of 10 steps."""


@dataclass(frozen=True)
class Row:
    """What came of one target. wanted: the outcome. right: so many searches of `of` came to it; short: and so
    many were made short enough. took_s: the longest search of a correct target, the shortest of a twin."""

    invariant: str
    target: str
    wanted: str
    right: int
    of: int
    short: int
    lengths: str
    took_s: float

    @property
    def missed(self) -> bool:
        return self.right < self.of or self.short < SHORT_SHARE * self.of

    def cells(self) -> list[str]:
        result = "[red]missed[/red]" if self.missed else "met"
        return [
            self.invariant,
            self.target,
            f"{self.wanted} {self.right}/{self.of}",
            self.lengths,
            f"{self.took_s:.2f}",
            result,
        ]


def samples_of(name: str) -> ModuleType | None:
    """None where the machine or its samples are not there."""
    machine = BUILT_IN[name].partition(":")[0]
    samples = SAMPLES.get(name, machine)
    if find_spec(f"invariants.machines.{machine}") and find_spec(f"invariants.samples.{samples}"):
        return import_module(f"invariants.samples.{samples}")
    return None


def verify(name: str, target: Target, seed: int, concurrency: int, options: Mapping[str, object]) -> Result:
    invariant = StateInvariant.custom(machine_of(name), target, **options).with_kept_in(None)
    return invariant.with_seed(seed).with_concurrency(concurrency).verify()


def tell(name: str, target: str, seed: int, result: Result) -> None:
    """Of a search that came out otherwise than it should."""
    why = result.inconclusive or "; ".join(found.title for found in result.violations)
    print(f"{name}, {target}, seed {seed}: {result.outcome} {why}", file=sys.stderr)


def correct(name: str, samples: ModuleType, seeds: int) -> Row:
    """With the connections and options that the twins are found with, and with four connections, in turn. One
    connection alone may tell nothing of what goes wrong between two; four have to."""
    twins = twins_of(name, samples).values()
    each = [(twin.concurrency, twin.options) for twin in twins] + [(4, twin.options) for twin in twins]
    settings = [setting for place, setting in enumerate(each) if setting not in each[:place]]
    right, longest_s = 0, 0.0
    for seed in range(seeds):
        concurrency, options = settings[seed % len(settings)]
        began_s = time.monotonic()
        result = verify(name, samples.CORRECT(random.Random(seed)), seed, concurrency, options)
        longest_s = max(longest_s, time.monotonic() - began_s)
        as_wanted = result.passed or (concurrency == 1 and not result.violations)
        right += as_wanted
        if not as_wanted:
            tell(name, "correct", seed, result)
    return Row(name, "correct", "UPHELD", right, seeds, seeds, "", longest_s)


def planted(name: str, target: str, twin: Twin, seeds: int) -> Row:
    right, lengths, shortest_s = 0, list[int](), float("inf")
    for seed in range(seeds):
        began_s = time.monotonic()
        made = twin.make(random.Random(seed))
        result = verify(name, made, seed, twin.concurrency, twin.options)
        shortest_s = min(shortest_s, time.monotonic() - began_s)
        right += bool(result.violations)
        if not result.violations:
            tell(name, target, seed, result)
        lengths += [len(found.steps) for found in result.violations[:1]]
    short = sum(length <= twin.known_minimum + SPARE_STEPS for length in lengths)
    told = f"{min(lengths)} to {max(lengths)} ({twin.known_minimum})" if lengths else "none"
    if not twin.known_minimum:
        short, told = len(lengths), "a share of all"
    return Row(name, target, "DEVIATED", right, seeds, short, told, shortest_s)


def speed(name: str, samples: ModuleType) -> Row:
    """The best of three, for others use the machine too."""
    times_s = []
    for seed in range(3):
        target = samples.CORRECT(random.Random(seed))
        began_s = time.monotonic()
        verify(name, target, seed, 1, {})
        times_s.append(time.monotonic() - began_s)
    fast = int(min(times_s) < FAST_S)
    return Row(name, "100 sequences of 10 steps", f"< {FAST_S:g} s", fast, 1, 1, "", min(times_s))


def twins_of(name: str, samples: ModuleType) -> Mapping[str, Twin]:
    twins: Mapping[str, Twin] = samples.TWINS
    return {label: twin for label, twin in twins.items() if twin.invariant in ("", name)}


def main(
    correct_seeds: Annotated[int, typer.Option(help="Searches on the correct target.")] = 200,
    twin_seeds: Annotated[int, typer.Option(help="Searches on each twin.")] = 20,
    only: Annotated[list[str] | None, typer.Option(help="The name of an invariant; may be repeated.")] = None,
) -> None:
    """Prints each row when it is known, and exits with 1 when a target is missed."""
    missed = False
    console = Console(width=None if Console().is_terminal else 160)
    for name in only or BUILT_IN:
        samples = samples_of(name)
        if samples is None:
            console.print(f"{name}: has no samples yet")
            continue
        for row in rows_of(name, samples, correct_seeds, twin_seeds):
            console.print(" | ".join(row.cells()))
            missed = missed or row.missed
    raise SystemExit(1 if missed else 0)


def rows_of(name: str, samples: ModuleType, correct_seeds: int, twin_seeds: int) -> Iterator[Row]:
    yield speed(name, samples)
    yield correct(name, samples, correct_seeds)
    for target, twin in twins_of(name, samples).items():
        yield planted(name, target, twin, twin_seeds)


if __name__ == "__main__":
    typer.run(main)
